import { describe, expect, test } from "vitest";
import type { CurrentResult, NewResult } from "../../src/results/result.ts";
import { type Assignee, assignCells } from "../../src/work/cell-assignment.ts";
import { leaseId, leaseNumber } from "../../src/work/lease.ts";
import { decideWork, groupsOfDistinctCells } from "../../src/work/work.ts";

describe("the id of a lease", () => {
  const cell = { itemId: "q1", repetition: 2 };

  test("looks like all ids and contains its number", () => {
    const id = leaseId("runs1", 1_234_567n, cell);
    expect(id).toMatch(/^leas[0-9a-z]{26}$/);
    expect(leaseNumber(id)).toBe(1_234_567n);
  });

  test("differs for another run, number, item or repetition", () => {
    const ids = [
      leaseId("runs1", 1n, cell),
      leaseId("runs2", 1n, cell),
      leaseId("runs1", 2n, cell),
      leaseId("runs1", 1n, { ...cell, itemId: "q2" }),
      leaseId("runs1", 1n, { ...cell, repetition: 3 }),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each(["", "leas", `leas${"z".repeat(26)}`, `runs${"0".repeat(26)}`, `leas${"0".repeat(27)}`])(
    "is not %j",
    (text) => {
      expect(leaseNumber(text)).toBeUndefined();
    },
  );

  test("never has a number that does not fit into the database", () => {
    expect(leaseNumber(`leas${"v".repeat(26)}`)).toBeLessThan(2n ** 63n);
  });
});

describe("decideWork", () => {
  const result = (what: "success" | "error", content: string): NewResult => ({
    itemId: "q1",
    repetition: 1,
    output: what === "success" ? content : undefined,
    error: what === "error" ? { code: "", message: content, stack: "" } : undefined,
    startTime: undefined,
    completeTime: undefined,
    latencyMicros: undefined,
    retryCount: 0,
    traceId: "",
    usage: undefined,
    fingerprint: Buffer.from(`${what} ${content}`),
    scores: [],
  });
  const current = (what: "success" | "error", content: string): CurrentResult => ({
    number: 1n,
    sequence: 1n,
    attempt: 1,
    succeeded: what === "success",
    carried: false,
    fingerprint: Buffer.from(`${what} ${content}`),
    bytes: 1,
  });

  test.each<[string, NewResult, boolean, CurrentResult | undefined, string, string | undefined]>([
    ["a success in time", result("success", "a"), true, undefined, "recorded", "created"],
    ["an error in time", result("error", "a"), true, undefined, "recorded", "created"],
    ["a success after an error", result("success", "a"), true, current("error", "a"), "recorded", "replaced"],
    ["an error after another", result("error", "b"), true, current("error", "a"), "recorded", "replaced"],
    [
      "an error after an identical one",
      result("error", "a"),
      true,
      current("error", "a"),
      "recorded",
      "replaced",
    ],
    ["a late success", result("success", "a"), false, undefined, "recorded", "created"],
    [
      "a late success after an error",
      result("success", "a"),
      false,
      current("error", "a"),
      "recorded",
      "replaced",
    ],
    [
      "a late success after an identical one",
      result("success", "a"),
      false,
      current("success", "a"),
      "duplicate",
      "unchanged",
    ],
    [
      "a late success after another",
      result("success", "b"),
      false,
      current("success", "a"),
      "dropped",
      undefined,
    ],
    ["a late error", result("error", "a"), false, undefined, "dropped", undefined],
    [
      "a late error after an identical one",
      result("error", "a"),
      false,
      current("error", "a"),
      "duplicate",
      "unchanged",
    ],
    ["a late error after another", result("error", "b"), false, current("error", "a"), "dropped", undefined],
    [
      "a late error after a success",
      result("error", "b"),
      false,
      current("success", "a"),
      "dropped",
      undefined,
    ],
  ])("%s", (_, sent, isLeased, known, outcome, kind) => {
    const decision = decideWork(sent, isLeased, known);
    expect(decision.outcome).toBe(outcome);
    expect("decision" in decision ? decision.decision.kind : undefined).toBe(kind);
  });
});

describe("groupsOfDistinctCells", () => {
  const cell = (itemId: string, repetition = 1) => ({ itemId, repetition });

  test("keeps distinct cells together", () => {
    expect(groupsOfDistinctCells([cell("a"), cell("b"), cell("a", 2)])).toEqual([[0, 1, 2]]);
    expect(groupsOfDistinctCells([])).toEqual([]);
  });

  test("puts each further result of a cell into a later group", () => {
    expect(groupsOfDistinctCells([cell("a"), cell("a"), cell("b"), cell("a")])).toEqual([[0, 2], [1], [3]]);
  });
});

describe("assignCells", () => {
  const worker = (workerId: string, held: number, free: number, maxAttempts = 1): Assignee => ({
    workerId,
    held,
    free,
    maxAttempts,
  });
  const cells = (count: number, attempts = 0, workerId = "") =>
    Array.from({ length: count }, () => ({ attempts, workerId }));
  const assign = (
    what: ReturnType<typeof cells>,
    workers: Assignee[],
    mayReturn: "never" | "as a last resort",
  ) => {
    const { assigned, left } = assignCells(what, workers, mayReturn);
    return [
      ...workers.map(({ workerId }) => assigned.filter((one) => one.assignee.workerId === workerId).length),
      left.length,
    ];
  };

  test("fills all workers if there are enough cells", () => {
    expect(assign(cells(10), [worker("a", 0, 3), worker("b", 5, 2)], "never")).toEqual([3, 2, 5]);
  });

  test("prefers the workers that hold the fewest leases, regardless of their capacity", () => {
    expect(assign(cells(10), [worker("a", 0, 100), worker("b", 0, 100)], "never")).toEqual([5, 5, 0]);
    expect(assign(cells(10), [worker("a", 6, 100), worker("b", 0, 100)], "never")).toEqual([2, 8, 0]);
    expect(assign(cells(10), [worker("a", 0, 2), worker("b", 0, 100)], "never")).toEqual([2, 8, 0]);
  });

  test("prefers the first of the workers that hold equally many", () => {
    expect(assign(cells(1), [worker("a", 1, 1), worker("b", 1, 1)], "never")).toEqual([1, 0, 0]);
  });

  test("leaves a cell that has had the attempts that its workers allow", () => {
    expect(assign(cells(3, 2), [worker("a", 0, 9, 2), worker("b", 9, 9, 3)], "never")).toEqual([0, 3, 0]);
    expect(assign(cells(3, 3), [worker("a", 0, 9, 2), worker("b", 0, 9, 3)], "never")).toEqual([0, 0, 3]);
  });

  test("returns a cell to the worker that had it only if it may return and no other worker can take it", () => {
    expect(assign(cells(2, 0, "a"), [worker("a", 0, 9), worker("b", 5, 1)], "never")).toEqual([0, 1, 1]);
    expect(assign(cells(2, 0, "a"), [worker("a", 0, 9), worker("b", 5, 1)], "as a last resort")).toEqual([
      1, 1, 0,
    ]);
  });

  test("counts what it assigned", () => {
    const workers = [worker("a", 0, 3)];
    assignCells(cells(2), workers, "never");
    expect(workers).toEqual([worker("a", 2, 1)]);
  });
});
