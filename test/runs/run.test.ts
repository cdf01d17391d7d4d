import { describe, expect, test } from "vitest";
import { applyScores, changesNothing, type Score } from "../../src/results/score.ts";
import {
  defaultName,
  finishVerdict,
  newResultIdPrefix,
  resultId,
  resultIdParts,
} from "../../src/runs/run.ts";

describe("finishVerdict", () => {
  const counts = (expected: bigint, succeeded: bigint) => ({
    itemCount: 1n,
    expected,
    succeeded,
    failed: 0n,
    carried: 0n,
  });

  test.each([
    [10n, 10n, 0, "completed"],
    [10n, 1n, 0, "completed"],
    [10n, 0n, 0, "failed"],
    [10n, 9n, 0.9, "completed"],
    [10n, 8n, 0.9, "failed"],
    [3n, 1n, 1 / 3, "completed"],
    [3n, 3n, 1, "completed"],
    [3n, 2n, 1, "failed"],
  ])(
    "of %i expected cells, %i successes with a ratio of %d end as %s",
    (expected, succeeded, minSuccessRatio, state) => {
      expect(finishVerdict(counts(expected, succeeded), { minSuccessRatio, failureMessage: "" })).toBe(state);
    },
  );

  test("a failure message fails the run regardless of its results", () => {
    expect(finishVerdict(counts(1n, 1n), { minSuccessRatio: 0, failureMessage: "no" })).toBe("failed");
  });
});

describe("defaultName", () => {
  test("is made from target and dataset, and fits the length limit", () => {
    expect(defaultName("capitals", { targetId: "gpt-5" })).toBe("gpt-5 on capitals");
    expect(defaultName("capitals", { targetId: "" })).toBe("capitals");
    expect([...defaultName("𝕏".repeat(128), { targetId: "t" })]).toHaveLength(128);
  });
});

describe("resultId", () => {
  test("is split into its parts again", () => {
    const prefix = newResultIdPrefix();
    for (const number of [1n, 31n, 32n, 2n ** 40n - 1n]) {
      const id = resultId(prefix, number);
      expect(id).toMatch(/^rslt[0-9a-z]{26}$/);
      expect(resultIdParts(id)).toEqual({ prefix, number });
    }
  });

  test("sorts by number", () => {
    const prefix = newResultIdPrefix();
    const ids = [9n, 10n, 31n, 32n, 1000n, 100_000n].map((number) => resultId(prefix, number));
    expect(ids.toSorted()).toEqual(ids);
  });

  test.each(["", "rslt", `runs${"0".repeat(26)}`, `rslt${"0".repeat(25)}z`, `rslt${"0".repeat(27)}`])(
    "%j is none",
    (id) => {
      expect(resultIdParts(id)).toBeUndefined();
    },
  );
});

describe("applyScores", () => {
  const score = (name: string, value: number): Score => ({
    name,
    value,
    label: "",
    explanation: "",
    error: "",
    annotatorKind: undefined,
    metadata: undefined,
    traceId: "",
    startTime: undefined,
    completeTime: undefined,
  });
  const before = [{ ...score("a", 1), createTime: 1n }];

  test("an equal score changes nothing", () => {
    const change = applyScores(before, [score("a", 1)], 2n);
    expect(change).toEqual({ scores: before, replaced: [], created: 0, unchanged: 1 });
    expect(changesNothing(change)).toBe(true);
  });

  test("a score replaces the one with its name, others are added", () => {
    expect(applyScores(before, [score("b", 1), score("a", 2)], 2n)).toEqual({
      scores: [
        { ...score("a", 2), createTime: 2n },
        { ...score("b", 1), createTime: 2n },
      ],
      replaced: before,
      created: 1,
      unchanged: 0,
    });
  });
});
