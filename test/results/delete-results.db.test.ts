import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
import {
  collect,
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
  await mirror(service, "qa", questions(5));
  await mirror(service, "many", questions(300));
});
afterAll(() => database.drop());

type Request = Parameters<RunServiceUnderTest["runs"]["deleteResults"]>[0];
const remove = async (request: Request) => Number((await service.runs.deleteResults(request)).deletedCount);
const cell = (itemId: string, repetition = 1) => ({ itemId, repetition });
const countsOf = async (runId: string) => (await service.runs.getRun({ runId })).run?.counts;

describe("DeleteResults", () => {
  test("makes cells missing again, with all their attempts and scores, and skips those without a result", async () => {
    const { runId } = await newRun(service, "qa", { repetitions: 2 });
    const record = async (...results: ReturnType<typeof success>[]) =>
      (await service.runs.recordResults({ runId, results })).resultIds;
    const [error = ""] = await record(failed("q1", "no"));
    const [replacing = ""] = await record(success("q1", 1, { scores: [{ name: "s", value: 1 }] }));
    const scored = { resultId: replacing, score: { name: "s", value: 2 } };
    await service.runs.recordScores({ runId, scores: [scored] });
    const [kept = ""] = await record(
      success("q1", 2, { repetition: 2 }),
      failed("q2", "no"),
      success("q3", 1),
    );
    expect(await countsOf(runId)).toMatchObject({ succeeded: 3n, failed: 1n, missing: 6n });

    const cells = [cell("q1"), cell("q2"), cell("q4"), cell("q1")];
    expect(await remove({ runId, cells })).toBe(2);
    expect(await countsOf(runId)).toMatchObject({ expected: 10n, succeeded: 2n, failed: 0n, missing: 8n });
    const { results } = await service.runs.listResults({ runId, includeReplaced: true });
    expect(results.map(({ itemId, repetition }) => [itemId, repetition])).toEqual([
      ["q1", 2],
      ["q3", 1],
    ]);
    expect(results[0]?.resultId).toBe(kept);
    for (const resultId of [error, replacing]) {
      expect(await refusalOf(service.runs.getResult({ resultId }))).toMatchObject({
        reason: "RESULT_NOT_FOUND",
      });
      expect(
        await refusalOf(service.runs.recordScores({ runId, scores: [{ ...scored, resultId }] })),
      ).toMatchObject({ reason: "RESULT_NOT_FOUND" });
    }
    const { rows } = await database.pool.query("select from replaced_scores where run_id = $1", [runId]);
    expect(rows).toEqual([]);
    expect(await remove({ runId, cells })).toBe(0);
  });

  test("a cell takes a first attempt again, even a result like the deleted one, under a new id", async () => {
    const { runId } = await newRun(service, "qa");
    const record = async () =>
      service.runs.recordResults({ runId, results: [success("q1", 1), success("q2", 1)] });
    const before = await record();
    await remove({ runId, cells: [cell("q1")] });
    const after = await record();
    expect(after.counts).toMatchObject({ created: 1n, unchanged: 1n });
    expect(after.resultIds[1]).toBe(before.resultIds[1]);
    expect(before.resultIds).not.toContain(after.resultIds[0]);
    const { result } = await service.runs.getResult({ resultId: after.resultIds[0] ?? "" });
    expect(result).toMatchObject({ attempt: 1, sequence: 3n });
  });

  test("leaves the run running, and does not reuse its sequence numbers", async () => {
    const { runId } = await newRun(service, "qa");
    await service.runs.recordResults({ runId, results: [success("q1", 1), success("q2", 1)] });
    await remove({ runId, cells: [cell("q1"), cell("q2")] });
    const { run } = await service.runs.getRun({ runId });
    expect(run).toMatchObject({ state: Run_State.RUNNING, counts: { succeeded: 0n, missing: 5n } });
    const whole = await collect(service, { runId });
    expect(whole).toMatchObject({ results: [], end: { throughSequence: 2n } });
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    const { results } = await collect(service, { runId, afterSequence: 2n });
    expect(results.map(({ sequence }) => sequence)).toEqual([3n]);
    // Without a success left, the run does not count as completed.
    await remove({ runId, cells: [cell("q1")] });
    expect((await service.runs.finishRun({ runId })).run?.state).toBe(Run_State.FAILED);
  });

  test("a follower is not notified, and misses no later result", async () => {
    const { runId } = await newRun(service, "qa");
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    const seen: bigint[] = [];
    for await (const { frame } of service.runs.streamResults({ runId, follow: true })) {
      if (frame.case !== "batch") continue;
      seen.push(...frame.value.results.map(({ sequence }) => sequence));
      if (seen.length === 1) {
        await remove({ runId, cells: [cell("q1")] });
        await service.runs.recordResults({ runId, results: [success("q2", 1)] });
      } else {
        await service.runs.finishRun({ runId });
      }
    }
    expect(seen).toEqual([1n, 2n]);
  });

  test("refuses a run that has ended", async () => {
    const { runId } = await newRun(service, "qa");
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    await service.runs.finishRun({ runId });
    expect(await refusalOf(remove({ runId, cells: [cell("q1")] }))).toEqual({
      code: "FailedPrecondition",
      reason: "RUN_ENDED",
      metadata: { run_id: runId, state: "STATE_COMPLETED" },
    });
    expect(await countsOf(runId)).toMatchObject({ succeeded: 1n });
  });

  test.each([
    ["an item outside", cell("nobody")],
    ["repetition 0", cell("q1", 0)],
    ["repetition 3 of 2", cell("q1", 3)],
  ])("refuses cells that the run does not have, and deletes nothing: %s", async (_, outside) => {
    const { runId } = await newRun(service, "qa", { repetitions: 2 });
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    expect(await refusalOf(remove({ runId, cells: [cell("q1"), outside] }))).toEqual({
      code: "InvalidArgument",
      reason: "ITEM_NOT_IN_RUN",
      metadata: {
        run_id: runId,
        index: "1",
        item_id: outside.itemId,
        repetition: `${outside.repetition}`,
      },
    });
    expect(await countsOf(runId)).toMatchObject({ succeeded: 1n });
  });

  test("refuses malformed, oversized and unknown arguments", async () => {
    const { runId } = await newRun(service, "qa");
    const missing = `runs${"0".repeat(26)}`;
    expect(await refusalOf(remove({ runId }))).toEqual(invalid("cells"));
    expect(await refusalOf(remove({ runId, cells: [cell("q1"), cell("")] }))).toEqual(
      invalid("cells[1].item_id"),
    );
    expect(await refusalOf(remove({ cells: [cell("q1")] }))).toEqual(invalid("run_id"));
    expect(
      await refusalOf(remove({ runId, cells: Array.from({ length: 1001 }, () => cell("q1")) })),
    ).toMatchObject({
      code: "InvalidArgument",
      reason: "LIMIT_EXCEEDED",
      metadata: { limit: "max_batch_size", maximum: "1000", received: "1001" },
    });
    expect(await refusalOf(remove({ runId: missing, cells: [cell("q1")] }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missing },
    });
  });
});

describe("counts, while 300 writers record, overwrite, judge and delete", () => {
  /** Returns the counts in the row of the run, and those of its cells, in one snapshot. */
  async function observe(runId: string) {
    const { rows } = await database.pool.query<
      Record<"succeeded" | "failed" | "seen" | "errors" | "last", bigint>
    >(
      `select r.succeeded, r.failed,
              (select count(*) from run_results where run_id = $1 and superseded_by is null and output is not null) as seen,
              (select count(*) from run_results where run_id = $1 and superseded_by is null and output is null) as errors,
              r.sequence - coalesce((select max(sequence) from run_results where run_id = $1), 0) as last
       from runs as r where r.run_id = $1`,
      [runId],
    );
    return rows[0];
  }

  test("equal those of the cells, and expected = succeeded + failed + missing, in every snapshot", async () => {
    const { runId } = await newRun(service, "many");
    const other = await runService(database.pool);
    let writing = true;
    let moments = 0;
    const observer = (async () => {
      while (writing) {
        const { runs } = moments % 2 ? service : other;
        const counts = (await runs.getRun({ runId })).run?.counts;
        const { expected = 0n, succeeded = 0n, failed: errors = 0n, missing = 0n } = counts ?? {};
        expect(expected).toBe(300n);
        expect(succeeded + errors + missing).toBe(expected);
        const row = await observe(runId);
        expect([row?.seen, row?.errors]).toEqual([row?.succeeded, row?.failed]);
        moments++;
      }
    })();
    await Promise.all(
      Array.from({ length: 300 }, async (_, n) => {
        const { runs } = n % 2 ? service : other;
        const itemId = `q${n + 1}`;
        await runs.recordResults({ runId, results: [failed(itemId, "no")] });
        const recorded = await runs.recordResults({ runId, results: [success(itemId, n)] });
        const resultId = recorded.resultIds[0] ?? "";
        if (n % 3 === 0)
          await runs.recordScores({ runId, scores: [{ resultId, score: { name: "s", value: n } }] });
        if (n % 3 === 1) await runs.deleteResults({ runId, cells: [cell(itemId)] });
        if (n % 6 === 2) await runs.recordResults({ runId, results: [failed(itemId, "x")], overwrite: true });
      }),
    );
    writing = false;
    await observer;
    expect(moments).toBeGreaterThan(5);
    expect(await countsOf(runId)).toMatchObject({ succeeded: 150n, failed: 50n, missing: 100n });
    // 600 results, 100 scorings and 50 overwrites took a sequence number each.
    const { end } = await collect(service, { runId });
    expect(end.throughSequence).toBe(750n);
  });
});
