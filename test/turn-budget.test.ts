import { describe, expect, test } from "vitest";
import { nextTurn, TurnBudget } from "../src/turn-budget.ts";

describe("the budget of a turn", () => {
  test("yields once it is used up", () => {
    const turn = new TurnBudget(3);
    const spent = Array.from({ length: 8 }, () => turn.spend());
    expect(spent).toEqual([false, false, false, true, false, false, true, false]);
  });

  test("counts pieces of any size, the last of which may exceed it", () => {
    const turn = new TurnBudget(100);
    expect([60, 60, 1_000, 1, 0, 99].map((bytes) => turn.spend(bytes))).toEqual([
      false,
      false,
      true,
      true,
      false,
      false,
    ]);
  });
});

describe("the next turn", () => {
  test("comes after pending work", async () => {
    const order: string[] = [];
    setImmediate(() => order.push("other"));
    await nextTurn();
    order.push("mine");
    expect(order).toEqual(["other", "mine"]);
  });
});
