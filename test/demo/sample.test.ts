import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { clockTime, daysBetween, daysBetweenWithoutLeapDays } from "../../examples/reckoning/calendar.ts";
import { editions, toJsonLines } from "../../examples/reckoning/editions.ts";

describe("the sample dataset", () => {
  it("equals the output of its generator", async () => {
    for (const [name, rows] of Object.entries(editions())) {
      const file = new URL(`../../examples/reckoning/${name}.jsonl`, import.meta.url);
      expect(await readFile(file, "utf8"), name).toBe(toJsonLines(rows));
    }
  });

  it("has ids and questions that are unique within each file", () => {
    for (const [name, rows] of Object.entries(editions())) {
      expect(new Set(rows.map((row) => row.item_id)).size, name).toBe(rows.length);
      expect(new Set(rows.map((row) => row.input.question)).size, name).toBe(rows.length);
    }
  });

  it("changes by corrections, additions, another split and withdrawals", () => {
    const byId = (rows: ReturnType<typeof editions>["edition-1"]) =>
      new Map(rows.map((row) => [row.item_id, row]));
    const { "edition-1": first, review, "edition-2": second } = editions();
    const before = byId(first);
    const after = byId(second);
    const corrected = review.filter((row) => {
      const old = before.get(row.item_id);
      return old !== undefined && old.expected_output !== row.expected_output;
    });
    const added = second.filter((row) => !before.has(row.item_id));
    const resplit = second.filter((row) => {
      const old = before.get(row.item_id);
      return old !== undefined && String(old.splits) !== String(row.splits);
    });
    const withdrawn = first.filter((row) => !after.has(row.item_id));
    expect([corrected.length, added.length, resplit.length, withdrawn.length]).toEqual([6, 12, 3, 6]);
  });
});

describe("the calendar of the sample", () => {
  it("knows leap years, and reproduces the mistake of ignoring them", () => {
    expect(daysBetween("2024-02-28", "2024-03-01")).toBe(2);
    expect(daysBetween("1900-02-28", "1900-03-01")).toBe(1);
    expect(daysBetween("2000-02-28", "2000-03-01")).toBe(2);
    expect(daysBetweenWithoutLeapDays("2024-02-28", "2024-03-01")).toBe(1);
    expect(daysBetweenWithoutLeapDays("2024-03-01", "2025-02-28")).toBe(
      daysBetween("2024-03-01", "2025-02-28"),
    );
  });

  it("wraps around at midnight, in both directions", () => {
    expect([clockTime(1445), clockTime(-5), clockTime(0)]).toEqual(["00:05", "23:55", "00:00"]);
  });
});
