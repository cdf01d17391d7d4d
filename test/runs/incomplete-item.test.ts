import { describe, expect, test } from "vitest";
import { countFitting, missingRepetitions } from "../../src/runs/incomplete-item.ts";

describe("missingRepetitions", () => {
  test("returns the repetitions that are not recorded, in order", () => {
    expect(missingRepetitions(4, [3, 1])).toEqual([2, 4]);
    expect(missingRepetitions(2, [])).toEqual([1, 2]);
    expect(missingRepetitions(1, [1])).toEqual([]);
  });
});

describe("countFitting", () => {
  test.each([
    ["nothing", [], 10, 100, 0],
    ["all of a few", [10, 10, 10], 10, 100, 3],
    ["no more than the page holds", [1, 1, 1], 2, 100, 2],
    ["no more bytes than the page holds", [40, 40, 40], 10, 100, 2],
    ["up to the last byte", [50, 50, 1], 10, 100, 2],
    ["the first however large", [1000, 1], 10, 100, 1],
  ])("takes %s", (_, sizes, maxCount, maxBytes, count) => {
    expect(countFitting(sizes, maxCount, maxBytes)).toBe(count);
  });
});
