import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type ComparisonRow,
  type ComparisonSummary,
  ComparisonView,
  ScoreDirection,
  Verdict,
} from "../../gen/itembank/v1/comparison_pb.js";
import {
  failed,
  invalid,
  mirror,
  newRun,
  questions,
  type RunServiceUnderTest,
  refusalOf,
  runService,
  success,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
});
afterAll(() => database.drop());

type Request = Parameters<RunServiceUnderTest["runs"]["compareRuns"]>[0];

async function compare(request: Request) {
  let summary: ComparisonSummary | undefined;
  const rows: ComparisonRow[] = [];
  const cases: (string | undefined)[] = [];
  let rowCount = -1n;
  for await (const { frame } of service.runs.compareRuns(request)) {
    cases.push(frame.case);
    if (frame.case === "summary") summary = frame.value;
    if (frame.case === "rows") rows.push(...frame.value.rows);
    if (frame.case === "end") rowCount = frame.value.rowCount;
  }
  return { summary, rows, cases, rowCount };
}

const scored = (itemId: string, value: number, repetition = 1, name = "exact") =>
  success(itemId, value, { repetition, scores: [{ name, value }] });

describe("CompareRuns", () => {
  test("compares item by item over the items that both cover, averaging repetitions first", async () => {
    await mirror(service, "qa", { a: "1", b: "2", c: "3", d: "4", gone: "5" });
    const base = await newRun(service, "qa", { repetitions: 2 });
    await mirror(service, "qa", { a: "1", b: "2 changed", c: "3", d: "4", added: "6", more: "7" });
    const candidate = await newRun(service, "qa");
    const recorded = await service.runs.recordResults({
      runId: base.runId,
      results: [
        scored("a", 1),
        scored("a", 0, 2),
        scored("b", 0),
        failed("b", "no", { repetition: 2 }),
        scored("c", 1),
        scored("gone", 1),
      ],
    });
    await service.runs.recordResults({
      runId: candidate.runId,
      results: [scored("a", 1), scored("b", 1), failed("c", "no"), scored("added", 0), success("d", 1)],
    });

    const { summary, rows, cases, rowCount } = await compare({
      baseRunId: base.runId,
      candidateRunId: candidate.runId,
    });
    expect(cases).toEqual(["summary", "rows", "end"]);
    expect(rowCount).toBe(4n);
    expect(summary).toMatchObject({
      base: { runId: base.runId, counts: { succeeded: 5n, failed: 1n } },
      candidate: { runId: candidate.runId },
      commonItemCount: 4n,
      baseOnlyItemCount: 1n,
      candidateOnlyItemCount: 2n,
      driftedItemCount: 1n,
    });
    // The differences are 0.5 and 1: mean 0.75, s = √0.125, t(0.975, 1) = 12.7062, so ± 12.7062 · 0.25.
    expect(summary?.scores).toHaveLength(1);
    expect(summary?.scores[0]).toMatchObject({
      name: "exact",
      verdict: Verdict.INCONCLUSIVE,
      pairedItemCount: 2n,
      unpairedItemCount: 2n,
      baseMean: 0.25,
      candidateMean: 1,
      meanDifference: 0.75,
      wins: 2n,
      losses: 0n,
      ties: 0n,
    });
    expect(summary?.scores[0]?.confidenceLow).toBeCloseTo(0.75 - 12.7062 / 4, 4);
    expect(summary?.scores[0]?.confidenceHigh).toBeCloseTo(0.75 + 12.7062 / 4, 4);

    expect(rows.map((row) => [row.itemId, row.drifted])).toEqual([
      ["a", false],
      ["b", true],
      ["c", false],
      ["d", false],
    ]);
    expect(rows[0]).toMatchObject({
      base: { succeeded: 2, failed: 0, missing: 0, resultIds: recorded.resultIds.slice(0, 2) },
      scores: [{ name: "exact", base: 0.5, candidate: 1, difference: 0.5 }],
    });
    expect(rows[1]?.base).toMatchObject({ succeeded: 1, failed: 1, missing: 0 });
    expect(rows[2]).toMatchObject({ base: { missing: 1 }, candidate: { failed: 1 }, scores: [{ base: 1 }] });
    expect(rows[2]?.scores[0]?.candidate).toBeUndefined();
    expect(rows[2]?.scores[0]?.difference).toBeUndefined();
    expect(rows[3]).toMatchObject({ base: { missing: 2, resultIds: [] }, candidate: { succeeded: 1 } });
  });

  test("keeps the order of settings, including scores that neither run has", async () => {
    await mirror(service, "settings", questions(4));
    const [base, candidate] = [await newRun(service, "settings"), await newRun(service, "settings")];
    const both = (n: number, exact: number, cost: number) =>
      success(`q${n}`, n, {
        scores: [
          { name: "exact", value: exact },
          { name: "cost", value: cost },
          { name: "word", label: "fine" },
          { name: "broken", error: "no judge" },
        ],
      });
    await service.runs.recordResults({
      runId: base.runId,
      results: [1, 2, 3].map((n) => both(n, 1, 10 + n)),
    });
    await service.runs.recordResults({
      runId: candidate.runId,
      results: [1, 2, 3].map((n) => both(n, 1, n)),
    });
    const ask = async (scores: Request["scores"]) => {
      const { summary } = await compare({
        baseRunId: base.runId,
        candidateRunId: candidate.runId,
        view: ComparisonView.SUMMARY,
        ...(scores && { scores }),
      });
      return summary?.scores.map(({ name, verdict, pairedItemCount }) => [name, verdict, pairedItemCount]);
    };
    expect(await ask([])).toEqual([
      ["cost", Verdict.WORSE, 3n],
      ["exact", Verdict.EQUIVALENT, 3n],
      ["word", Verdict.NO_OVERLAP, 0n],
    ]);
    expect(
      await ask([
        { name: "none" },
        { name: "exact", tolerance: 0.1 },
        { name: "cost", direction: ScoreDirection.LOWER_IS_BETTER },
      ]),
    ).toEqual([
      ["none", Verdict.NO_OVERLAP, 0n],
      ["exact", Verdict.EQUIVALENT, 3n],
      ["cost", Verdict.BETTER, 3n],
    ]);
    expect(await ask([{ name: "exact", failureValue: 0 }])).toEqual([["exact", Verdict.EQUIVALENT, 4n]]);
  });

  test("reports that the runs share no item, without any number", async () => {
    await mirror(service, "apart", { a: { input: 1, splits: ["x"] }, b: { input: 2, splits: ["y"] } });
    const base = await newRun(service, "apart", { splits: ["x"] });
    const candidate = await newRun(service, "apart", { splits: ["y"] });
    await service.runs.recordResults({ runId: base.runId, results: [scored("a", 1)] });
    await service.runs.recordResults({ runId: candidate.runId, results: [scored("b", 1)] });
    const { summary, cases, rowCount } = await compare({
      baseRunId: base.runId,
      candidateRunId: candidate.runId,
    });
    expect(cases).toEqual(["summary", "end"]);
    expect(rowCount).toBe(0n);
    expect(summary).toMatchObject({ commonItemCount: 0n, baseOnlyItemCount: 1n, candidateOnlyItemCount: 1n });
    const [score] = summary?.scores ?? [];
    expect(score).toMatchObject({ verdict: Verdict.NO_OVERLAP, pairedItemCount: 0n, unpairedItemCount: 0n });
    for (const number of [
      score?.baseMean,
      score?.candidateMean,
      score?.meanDifference,
      score?.confidenceLow,
    ]) {
      expect(number).toBeUndefined();
    }
  });

  test("sends as many rows as the summary counts, in frames of at most 1,000 rows and 3 MiB", async () => {
    await mirror(service, "wide", questions(1000));
    const [base, candidate] = [
      await newRun(service, "wide", { repetitions: 60 }),
      await newRun(service, "wide", { repetitions: 60 }),
    ];
    for (let repetition = 1; repetition <= 60; repetition++) {
      const results = Array.from({ length: 1000 }, (_, n) => scored(`q${n + 1}`, n, repetition));
      await service.runs.recordResults({ runId: base.runId, results });
      await service.runs.recordResults({ runId: candidate.runId, results });
    }
    const { rows, cases, rowCount } = await compare({
      baseRunId: base.runId,
      candidateRunId: candidate.runId,
    });
    expect(cases.length).toBeGreaterThan(3);
    expect(rowCount).toBe(1000n);
    expect(new Set(rows.map((row) => row.itemId)).size).toBe(1000);
  });

  test("refuses runs that are not comparable, and malformed or missing fields", async () => {
    await mirror(service, "one", questions(1));
    await mirror(service, "other", questions(1));
    const { runId: baseRunId } = await newRun(service, "one");
    const { runId: candidateRunId } = await newRun(service, "other");
    const missing = `runs${"0".repeat(26)}`;
    const refused = (request: Request) => refusalOf(service.runs.compareRuns(request));
    expect(await refused({ baseRunId, candidateRunId })).toEqual({
      code: "InvalidArgument",
      reason: "RUNS_NOT_COMPARABLE",
      metadata: { base_run_id: baseRunId, candidate_run_id: candidateRunId },
    });
    expect(await refused({ baseRunId, candidateRunId: baseRunId })).toMatchObject({
      reason: "RUNS_NOT_COMPARABLE",
    });
    expect(await refused({ baseRunId: missing, candidateRunId })).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missing },
    });
    expect(await refused({ baseRunId })).toEqual(invalid("candidate_run_id"));
    const runs = { baseRunId, candidateRunId };
    expect(await refused({ ...runs, scores: [{ name: "" }] })).toEqual(invalid("scores[0].name"));
    expect(await refused({ ...runs, scores: [{ name: "a" }, { name: "a" }] })).toEqual(
      invalid("scores[1].name"),
    );
    expect(await refused({ ...runs, scores: [{ name: "a", tolerance: -1 }] })).toEqual(
      invalid("scores[0].tolerance"),
    );
    expect(await refused({ ...runs, scores: [{ name: "a", tolerance: Number.NaN }] })).toEqual(
      invalid("scores[0].tolerance"),
    );
    expect(
      await refused({ ...runs, scores: [{ name: "a", failureValue: Number.POSITIVE_INFINITY }] }),
    ).toEqual(invalid("scores[0].failure_value"));
  });
});
