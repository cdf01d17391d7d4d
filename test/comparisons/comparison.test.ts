import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ComparisonItem,
  type ComparisonSide,
  compareScore,
  defaultSettings,
  pairOf,
  type ScoreSetting,
} from "../../src/comparisons/comparison.ts";
import { meanOf, pairedInterval } from "../../src/comparisons/paired-statistics.ts";
import { comparePairs, studentT95 } from "./paired-model.ts";

const setting = (special: Partial<ScoreSetting> = {}): ScoreSetting => ({
  name: "s",
  direction: "higher_is_better",
  tolerance: 0,
  failureValue: undefined,
  ...special,
});

/** Returns an item in a run whose repetitions have these values; "failed" and "missing" ones have none. */
function side(...repetitions: (number | "failed" | "missing" | "unscored")[]): ComparisonSide {
  const values = repetitions.filter((one) => typeof one === "number");
  const count = (what: string) => repetitions.filter((one) => one === what).length;
  return {
    succeeded: values.length + count("unscored"),
    failed: count("failed"),
    missing: count("missing"),
    resultIds: [],
    scores: new Map(
      values.length === 0
        ? []
        : [["s", { sum: values.reduce((sum, value) => sum + value, 0), count: values.length }]],
    ),
  };
}

function item(base: ComparisonSide, candidate: ComparisonSide): ComparisonItem {
  return { itemId: "q", drifted: false, base, candidate };
}

/** Returns one item per pair of values. */
const items = (base: readonly number[], candidate: readonly number[]) =>
  base.map((value, n) => item(side(value), side(candidate[n] ?? 0)));

describe("pairedInterval", () => {
  // Student's own example (Biometrika 6, 1908, table of the Cushny and Peebles data): extra hours of sleep with two drugs,
  // ten patients. R prints for t.test(extra ~ group, data = sleep, paired = TRUE): mean -1.58, interval -2.4598858 to
  // -0.7001142 for the first minus the second.
  const first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
  const second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];

  test("agrees with the published values for Student's sleep data", () => {
    const interval = pairedInterval(second.map((value, n) => value - (first[n] ?? 0)));
    expect(interval?.low).toBeCloseTo(0.7001142, 6);
    expect(interval?.high).toBeCloseTo(2.4598858, 6);
    expect(compareScore(items(first, second), setting())).toMatchObject({
      verdict: "better",
      pairedItemCount: 10,
      wins: 9,
      losses: 0,
      ties: 1,
    });
  });

  // Differences of ±1 have mean 0 and s = √(n / (n-1)), so the upper end is t / √(n-1). The values of t(0.975, n-1) are those
  // of the table in the NIST/SEMATECH e-Handbook, section 1.3.6.7.2.
  test.each([
    [2, 12.706],
    [4, 3.182],
    [6, 2.571],
    [10, 2.262],
    [30, 2.045],
    [100, 1.984],
  ])("agrees with the table of Student's t for %i differences", (n, t) => {
    const differences = Array.from({ length: n }, (_, at) => (at % 2 ? 1 : -1));
    const interval = pairedInterval(differences);
    expect((interval?.high ?? 0) * Math.sqrt(n - 1)).toBeCloseTo(t, 3);
    expect(interval?.low).toBeCloseTo(-(interval?.high ?? 0), 12);
  });

  test.each([1, 2, 3, 9, 29, 100, 1318])(
    "agrees with Student's t integrated numerically at %i degrees of freedom",
    (freedom) => {
      const differences = Array.from({ length: freedom + 1 }, (_, at) => (at % 2 ? 1 : -1));
      const { meanDifference, high } = comparePairs(differences.map((d) => [0, d] as const));
      const interval = pairedInterval(differences);
      expect(((interval?.high ?? 0) - meanDifference) / (high - meanDifference)).toBeCloseTo(1, 12);
      expect((interval?.high ?? 0) + (interval?.low ?? 0)).toBeCloseTo(2 * meanDifference, 12);
    },
  );

  test("needs two differences; the interval of equal ones has length 0", () => {
    expect(pairedInterval([])).toBeUndefined();
    expect(pairedInterval([1])).toBeUndefined();
    expect(pairedInterval([0.1, 0.1, 0.1])).toEqual({ low: 0.1, high: 0.1 });
  });
});

describe("the model that comparisons are checked against", () => {
  // NIST/SEMATECH e-Handbook, section 1.3.6.7.2.
  test.each([
    [1, 12.706],
    [2, 4.303],
    [9, 2.262],
    [30, 2.042],
    [100, 1.984],
  ])("agrees with the table of Student's t at %i degrees of freedom", (freedom, t) => {
    expect(studentT95(freedom)).toBeCloseTo(t, 3);
  });

  test("agrees with the published values for Student's sleep data", () => {
    const sleep = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0].map(
      (first, n) => [first, [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4][n] ?? 0] as const,
    );
    const { meanDifference, low, high } = comparePairs(sleep);
    expect(meanDifference).toBeCloseTo(1.58, 12);
    expect(low).toBeCloseTo(0.7001142, 6);
    expect(high).toBeCloseTo(2.4598858, 6);
  });
});

describe("meanOf", () => {
  test("stays finite even if the sum overflows", () => {
    expect(meanOf([Number.MAX_VALUE, Number.MAX_VALUE, 0])).toBeCloseTo((Number.MAX_VALUE / 3) * 2, -300);
    expect(meanOf([])).toBeUndefined();
  });
});

describe("pairOf", () => {
  test("takes the mean over repetitions that have a value, separately for each run", () => {
    const one = item(side(1, 0, "failed"), side(1, "unscored", "missing"));
    expect(pairOf(one, setting())).toEqual({ base: 0.5, candidate: 1, difference: 0.5 });
  });

  test("counts failed and missing repetitions as failure_value, but not unscored ones", () => {
    const one = item(side(1, 0, "failed"), side(1, "unscored", "missing"));
    const { base, candidate } = pairOf(one, setting({ failureValue: 0 }));
    expect(base).toBeCloseTo(1 / 3, 12);
    expect(candidate).toBe(0.5);
  });

  test("leaves an item that only failed without a value, unless failure_value is set", () => {
    const one = item(side("failed", "missing"), side(1, 1));
    expect(pairOf(one, setting())).toEqual({ base: undefined, candidate: 1, difference: undefined });
    expect(pairOf(one, setting({ failureValue: -1 }))).toEqual({ base: -1, candidate: 1, difference: 2 });
  });
});

describe("compareScore", () => {
  test.each([
    ["better", [0, 0, 0, 0], [1, 1, 1, 0.9], {}],
    ["worse", [1, 1, 1, 0.9], [0, 0, 0, 0], {}],
    ["better", [1, 1, 1, 0.9], [0, 0, 0, 0], { direction: "lower_is_better" }],
    ["worse", [0, 0, 0, 0], [1, 1, 1, 0.9], { direction: "lower_is_better" }],
    ["equivalent", [0, 1, 0, 1], [0, 1, 0, 1], {}],
    ["equivalent", [0, 1, 0, 1], [0.01, 1, 0, 1.01], { tolerance: 0.1 }],
    ["inconclusive", [0, 1, 0, 1], [1, 0, 0, 1], {}],
    ["inconclusive", [0, 0, 0, 0], [1, 1, 1, 0.9], { tolerance: 0.95 }],
    ["inconclusive", [0], [1], {}],
    ["no_overlap", [], [], {}],
  ] as const)("is %s for %j and %j with %j", (verdict, base, candidate, special) => {
    expect(compareScore(items(base, candidate), setting(special)).verdict).toBe(verdict);
  });

  test("counts wins, losses and ties by tolerance and direction", () => {
    const pairs = items([0, 0, 0, 0], [0.3, -0.3, 0.1, -0.1]);
    const more = items([0], [0.3]);
    expect(compareScore([...pairs, ...more], setting({ tolerance: 0.2 }))).toMatchObject({
      wins: 2,
      losses: 1,
      ties: 2,
    });
    expect(
      compareScore([...pairs, ...more], setting({ tolerance: 0.2, direction: "lower_is_better" })),
    ).toMatchObject({
      wins: 1,
      losses: 2,
      ties: 2,
    });
  });

  test("averages over pairs only, and counts items without a value in either run separately", () => {
    const all = [...items([1, 0], [1, 1]), item(side(1), side("failed")), item(side("missing"), side(0))];
    expect(compareScore(all, setting())).toMatchObject({
      pairedItemCount: 2,
      unpairedItemCount: 2,
      baseMean: 0.5,
      candidateMean: 1,
      meanDifference: 0.5,
    });
  });

  test("leaves out numbers that cannot be computed", () => {
    expect(compareScore([item(side(1), side("failed"))], setting())).toEqual({
      name: "s",
      verdict: "no_overlap",
      pairedItemCount: 0,
      unpairedItemCount: 1,
      baseMean: undefined,
      candidateMean: undefined,
      meanDifference: undefined,
      interval: undefined,
      wins: 0,
      losses: 0,
      ties: 0,
    });
    expect(compareScore(items([1], [2]), setting())).toMatchObject({
      meanDifference: 1,
      interval: undefined,
    });
  });

  test("returns only finite numbers, for any values", () => {
    const value = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(value, value), { maxLength: 8 }),
        fc.option(value),
        (pairs, failureValue) => {
          const all = pairs.map(([base, candidate]) => item(side(base, "failed"), side(candidate, base)));
          const compared = compareScore(all, setting({ failureValue: failureValue ?? undefined }));
          const { baseMean, candidateMean, meanDifference, interval, wins, losses, ties } = compared;
          for (const number of [baseMean, candidateMean, meanDifference, interval?.low, interval?.high]) {
            expect(number === undefined || Number.isFinite(number)).toBe(true);
          }
          expect(wins + losses + ties).toBe(compared.pairedItemCount);
          expect(compared.pairedItemCount + compared.unpairedItemCount).toBe(all.length);
        },
      ),
    );
  });
});

describe("defaultSettings", () => {
  test("compares all scores by name, higher is better, without tolerance", () => {
    expect(defaultSettings(["b", "a"])).toEqual([setting({ name: "a" }), setting({ name: "b" })]);
  });
});
