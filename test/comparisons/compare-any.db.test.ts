import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type ComparisonRow,
  type ComparisonSummary,
  type ScoreComparison,
  ScoreDirection,
  Verdict,
} from "../../gen/itembank/v1/comparison_pb.js";
import {
  failed,
  mirror,
  newRun,
  questions,
  type ResultInit,
  type RunServiceUnderTest,
  runService,
  success,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { comparePairs } from "./paired-model.ts";

/** Compares comparisons of arbitrary runs, over the wire, with the model. */

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  await mirror(service, "qa", questions(4));
});
afterAll(() => database.drop());

/** The content of a cell: a value, or the reason why it has none. */
type Cell = number | "missing" | "failed" | "unscored" | "label" | "broken";
/** By item, then by repetition. */
type Grid = readonly (readonly Cell[])[];

const itemIds = ["q1", "q2", "q3", "q4"];

function resultOf(itemId: string, repetition: number, cell: Cell): ResultInit[] {
  const scored = (score: object) => [success(itemId, 1, { repetition, scores: [{ name: "s", ...score }] })];
  if (cell === "missing") return [];
  if (cell === "failed") return [failed(itemId, "no", { repetition })];
  if (cell === "unscored") return [success(itemId, 1, { repetition })];
  if (cell === "label") return scored({ label: "fine" });
  if (cell === "broken") return scored({ error: "no judge" });
  return scored({ value: cell });
}

async function runOf(grid: Grid): Promise<string> {
  const { runId } = await newRun(service, "qa", { repetitions: grid[0]?.length ?? 1 });
  const results = grid.flatMap((cells, item) =>
    cells.flatMap((cell, index) => resultOf(itemIds[item] ?? "", index + 1, cell)),
  );
  await service.runs.recordResults({ runId, results });
  return runId;
}

/** Returns the mean over the repetitions that have a value, as defined in comparison.proto. */
function meanOfCells(cells: readonly Cell[], failureValue: number | undefined): number | undefined {
  const values = cells.flatMap((cell) => {
    if (typeof cell === "number") return [cell];
    const gaveNone = cell === "missing" || cell === "failed";
    return gaveNone && failureValue !== undefined ? [failureValue] : [];
  });
  return values.length === 0 ? undefined : values.reduce((sum, one) => sum + one, 0) / values.length;
}

const grid = (value: fc.Arbitrary<number>) => {
  const cell = fc.oneof(
    { weight: 4, arbitrary: value as fc.Arbitrary<Cell> },
    {
      weight: 2,
      arbitrary: fc.constantFrom<Cell>("missing", "failed", "unscored", "label", "broken"),
    },
  );
  return fc.integer({ min: 1, max: 3 }).chain((repetitions) =>
    fc.array(fc.array(cell, { minLength: repetitions, maxLength: repetitions }), {
      minLength: itemIds.length,
      maxLength: itemIds.length,
    }),
  );
};

async function compare(base: Grid, candidate: Grid, setting: object) {
  const [baseRunId, candidateRunId] = [await runOf(base), await runOf(candidate)];
  let summary: ComparisonSummary | undefined;
  const rows: ComparisonRow[] = [];
  const scores = [{ name: "s", ...setting }];
  for await (const { frame } of service.runs.compareRuns({ baseRunId, candidateRunId, scores })) {
    if (frame.case === "summary") summary = frame.value;
    if (frame.case === "rows") rows.push(...frame.value.rows);
  }
  return { score: summary?.scores[0] as ScoreComparison, rows };
}

function verdictOf(low: number, high: number, tolerance: number, direction: ScoreDirection): Verdict {
  const [up, down] =
    direction === ScoreDirection.LOWER_IS_BETTER
      ? [Verdict.WORSE, Verdict.BETTER]
      : [Verdict.BETTER, Verdict.WORSE];
  if (low > tolerance) return up;
  if (high < -tolerance) return down;
  return low >= -tolerance && high <= tolerance ? Verdict.EQUIVALENT : Verdict.INCONCLUSIVE;
}

test("any two runs compare as in the model, item by item and in the summary", async () => {
  // Halves are summed without rounding, so that both computations agree if an end of the interval equals the tolerance.
  const value = fc.integer({ min: -4, max: 4 }).map((half) => half / 2);
  await fc.assert(
    fc.asyncProperty(
      grid(value),
      grid(value),
      fc.option(value, { nil: undefined }),
      fc.constantFrom(0, 0.25, 3),
      fc.constantFrom(
        ScoreDirection.UNSPECIFIED,
        ScoreDirection.HIGHER_IS_BETTER,
        ScoreDirection.LOWER_IS_BETTER,
      ),
      async (base, candidate, failureValue, tolerance, direction) => {
        const { score, rows } = await compare(base, candidate, {
          tolerance,
          direction,
          ...(failureValue === undefined ? {} : { failureValue }),
        });
        const pairs: [number, number][] = [];
        itemIds.forEach((itemId, item) => {
          const [before = [], after = []] = [base[item], candidate[item]];
          const sides = [meanOfCells(before, failureValue), meanOfCells(after, failureValue)] as const;
          const [one, other] = sides;
          if (one !== undefined && other !== undefined) pairs.push([one, other]);
          const row = rows[item];
          expect(row?.itemId).toBe(itemId);
          for (const [side, cells] of [
            [row?.base, before],
            [row?.candidate, after],
          ] as const) {
            expect(side?.failed).toBe(cells.filter((cell) => cell === "failed").length);
            expect(side?.missing).toBe(cells.filter((cell) => cell === "missing").length);
            expect(side?.succeeded).toBe(cells.length - (side?.failed ?? 0) - (side?.missing ?? 0));
            expect(side?.resultIds).toHaveLength(cells.length - (side?.missing ?? 0));
          }
          const shown = row?.scores[0];
          expect([shown?.base, shown?.candidate].map(rounded)).toEqual(sides.map(rounded));
          const difference = one === undefined || other === undefined ? undefined : other - one;
          expect(rounded(shown?.difference)).toBe(rounded(difference));
        });

        expect(Number(score.pairedItemCount)).toBe(pairs.length);
        expect(Number(score.unpairedItemCount)).toBe(itemIds.length - pairs.length);
        if (pairs.length === 0) {
          expect(score.verdict).toBe(Verdict.NO_OVERLAP);
          expect([score.baseMean, score.candidateMean, score.meanDifference]).toEqual([
            undefined,
            undefined,
            undefined,
          ]);
          return;
        }
        const model = comparePairs(pairs, tolerance);
        expect(score.baseMean).toBeCloseTo(model.baseMean, 10);
        expect(score.candidateMean).toBeCloseTo(model.candidateMean, 10);
        expect(score.meanDifference).toBeCloseTo(model.meanDifference, 10);
        const [wins, losses] =
          direction === ScoreDirection.LOWER_IS_BETTER
            ? [model.below, model.above]
            : [model.above, model.below];
        expect([score.wins, score.losses].map(Number)).toEqual([wins, losses]);
        expect(Number(score.ties)).toBe(pairs.length - wins - losses);
        if (pairs.length === 1) {
          expect(score.verdict).toBe(Verdict.INCONCLUSIVE);
          expect([score.confidenceLow, score.confidenceHigh]).toEqual([undefined, undefined]);
          return;
        }
        expect(score.confidenceLow).toBeCloseTo(model.low, 5);
        expect(score.confidenceHigh).toBeCloseTo(model.high, 5);
        const { confidenceLow = Number.NaN, confidenceHigh = Number.NaN } = score;
        expect(score.verdict).toBe(verdictOf(confidenceLow, confidenceHigh, tolerance, direction));
      },
    ),
    { numRuns: 30 },
  );
});

const rounded = (value: number | undefined) => value && Math.round(value * 1e10) / 1e10;

test("no number is NaN or infinite, for any scores", async () => {
  const value = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, -0, 0),
  );
  await fc.assert(
    fc.asyncProperty(
      grid(value),
      grid(value),
      fc.option(value, { nil: undefined }),
      async (base, candidate, failureValue) => {
        const setting = failureValue === undefined ? {} : { failureValue };
        const { score, rows } = await compare(base, candidate, setting);
        const numbers = [
          ...[score.baseMean, score.candidateMean, score.meanDifference],
          ...[score.confidenceLow, score.confidenceHigh],
          ...rows.flatMap(({ scores }) => scores.flatMap((one) => [one.base, one.candidate, one.difference])),
        ];
        for (const number of numbers) expect(number === undefined || Number.isFinite(number)).toBe(true);
        expect(score.wins + score.losses + score.ties).toBe(score.pairedItemCount);
        expect(score.pairedItemCount + score.unpairedItemCount).toBe(4n);
      },
    ),
    { numRuns: 30 },
  );
});
