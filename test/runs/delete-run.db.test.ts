import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { deleteDataset } from "../../src/dataset-calls/delete-dataset.ts";
import type { Client } from "../../src/db/pool.ts";
import { transaction } from "../../src/db/transaction.ts";
import { deleteRun } from "../../src/runs/delete-run.ts";
import { sweepDeletedRuns } from "../../src/runs/deleted-run-sweeper.ts";
import { lockRun } from "../../src/runs/locked-run-store.ts";
import type { RunScope } from "../../src/runs/run.ts";
import { getRunScope } from "../../src/runs/run-store.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { defaultProject } from "../support/handles.ts";
import { waitForLock } from "../support/locks.ts";
import {
  invalid,
  mirror,
  named,
  newRun,
  questions,
  type RunServiceUnderTest,
  refusalOf,
  runService,
  success,
} from "./run-service.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  await mirror(service, "many", questions(1000));
});
beforeEach(async () => {
  await mirror(service, "qa", questions(5));
});
afterAll(async () => {
  await swept();
  await database.drop();
});

type Request = Parameters<RunServiceUnderTest["runs"]["deleteRun"]>[0];
const remove = (request: Request) => service.runs.deleteRun(request);
const never = new AbortController().signal;

/** Waits until all deleted runs are completely deleted. */
const swept = () =>
  vi.waitFor(
    async () => {
      const { rowCount } = await database.pool.query("select from run_ids where delete_time is not null");
      expect(rowCount).toBe(0);
    },
    { timeout: 30_000 },
  );

/** Returns the number of rows of a run in each table that refers to runs. */
async function rowsOf(runId: string): Promise<Record<string, number>> {
  const { rows: tables } = await database.pool.query<{ table_name: string }>(
    "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'run_id'",
  );
  const counts: Record<string, number> = {};
  for (const { table_name } of tables) {
    const { rowCount } = await database.pool.query(`select from ${table_name} where run_id = $1`, [runId]);
    counts[table_name] = rowCount ?? 0;
  }
  return counts;
}

/** Creates a run with results, attempts, scores and labels. */
async function fullRun(label: string) {
  const { runId } = await newRun(service, "qa", { labels: [label], repetitions: 2 });
  const scored = (value: number) => success("q1", 1, { scores: [{ name: "s", value }] });
  await service.runs.recordResults({ runId, results: [scored(1), success("q2", 1)] });
  await service.runs.recordResults({ runId, results: [scored(2)] });
  const overwriting = { runId, results: [success("q2", 2)], overwrite: true };
  const { resultIds } = await service.runs.recordResults(overwriting);
  return { runId, resultId: resultIds[0] ?? "" };
}

/** Adds a result for q1, as a call that holds the lock of the run does. */
async function addResult(client: Client, { datasetId, runId, runNumber }: RunScope): Promise<void> {
  await client.query(
    `insert into run_results (
       dataset_id, run_id, run_number, item_id, repetition, attempt, sequence, number, item_version, output, retry_count,
       trace_id, fingerprint, create_time)
     values ($1, $2, $3, 'q1', 1, 1, 1, 1, 1, '1', 0, '', decode(repeat('00', 32), 'hex'), now())`,
    [datasetId, runId, runNumber],
  );
}

describe("DeleteRun", () => {
  test("deletes all rows of the run from all tables, and no others", async () => {
    const { runId } = await fullRun("mine");
    const other = await fullRun("theirs");
    const before = await rowsOf(other.runId);
    expect(await rowsOf(runId)).toMatchObject({ runs: 1, run_labels: 1, run_results: 3, replaced_scores: 1 });
    await remove({ runId });
    await swept();
    expect(Object.values(await rowsOf(runId)).every((count) => count === 0)).toBe(true);
    expect(await rowsOf(other.runId)).toEqual(before);
    expect((await service.runs.listRuns({ dataset: named("qa"), label: "mine" })).runs).toEqual([]);
  });

  test("from its answer on, no call finds the run, even before its results are deleted", async () => {
    const { runId, resultId } = await fullRun("gone");
    const other = await newRun(service, "qa");
    // A lock on the results prevents their deletion.
    await transaction(database.pool, async (client) => {
      await client.query("select from run_results where run_id = $1 for update", [runId]);
      await remove({ runId });
      const refused = async (call: Promise<unknown> | AsyncIterable<unknown>) =>
        (await refusalOf(call)).reason;
      const { runs } = service;
      expect(await refused(runs.getRun({ runId }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.getResult({ resultId }))).toBe("RESULT_NOT_FOUND");
      expect(await refused(runs.listResults({ runId }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.streamResults({ runId }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.recordResults({ runId, results: [success("q3", 1)] }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.recordScores({ runId, scores: [] }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.finishRun({ runId }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.updateRun({ runId, patch: { name: "x" } }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.deleteRun({ runId }))).toBe("RUN_NOT_FOUND");
      expect(await refused(runs.compareRuns({ baseRunId: runId, candidateRunId: other.runId }))).toBe(
        "RUN_NOT_FOUND",
      );
      expect((await runs.listRuns({ dataset: named("qa") })).runs.map((run) => run.runId)).not.toContain(
        runId,
      );
      expect((await rowsOf(runId)).run_results).toBe(3);
    });
    await swept();
  });

  test("ends streams that follow the run", async () => {
    const { runId } = await newRun(service, "qa");
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    const following = (async () => {
      for await (const { frame } of service.runs.streamResults({ runId, follow: true })) {
        if (frame.case === "batch") await remove({ runId });
      }
    })();
    expect(await refusalOf(following)).toMatchObject({ code: "NotFound", reason: "RUN_NOT_FOUND" });
  });

  test("a stream of results that it interrupts fails, so that no client takes it for complete", async () => {
    const { runId } = await newRun(service, "many", { repetitions: 2 });
    for (const repetition of [1, 2]) {
      const results = Array.from({ length: 1000 }, (_, n) => success(`q${n + 1}`, n, { repetition }));
      await service.runs.recordResults({ runId, results });
    }
    const reading = (async () => {
      for await (const { frame } of service.runs.streamResults({ runId })) {
        if (frame.case !== "batch" || frame.value.results[0]?.sequence !== 1n) continue;
        await remove({ runId });
        await swept();
      }
    })();
    expect(await refusalOf(reading)).toMatchObject({ reason: "RUN_NOT_FOUND" });
  });

  test("waits for a recording in progress, and deletes its results as well", async () => {
    const { runId } = await newRun(service, "qa");
    let removing: Promise<unknown> = Promise.resolve();
    await transaction(database.pool, async (client) => {
      const scope = await getRunScope(client, defaultProject, runId);
      await lockRun(client, scope);
      removing = remove({ runId });
      await waitForLock(client);
      await addResult(client, scope);
    });
    await removing;
    await swept();
    expect(Object.values(await rowsOf(runId)).every((count) => count === 0)).toBe(true);
  });

  test("deletes a run of thousands of results batch by batch, and resumes after an interruption", async () => {
    const { runId } = await newRun(service, "many", { repetitions: 5 });
    for (let repetition = 1; repetition <= 5; repetition++) {
      const results = Array.from({ length: 1000 }, (_, n) => success(`q${n + 1}`, n, { repetition }));
      await service.runs.recordResults({ runId, results });
    }
    // As if the server had been stopped after the answer.
    await transaction(database.pool, (client) =>
      deleteRun(client, { projectId: defaultProject, runId, etag: "" }),
    );
    const ended = new AbortController();
    ended.abort();
    expect(await sweepDeletedRuns(database.pool, ended.signal)).toBe(0);
    expect((await rowsOf(runId)).run_results).toBe(5000);
    // Two servers may sweep concurrently.
    const counts = await Promise.all([1, 2].map(() => sweepDeletedRuns(database.pool, never)));
    expect(counts[0] || counts[1]).toBe(1);
    await swept();
    expect((await rowsOf(runId)).run_results).toBe(0);
  });

  test("frees its labels, and does not reuse its id", async () => {
    const { runId } = await fullRun("freed");
    await remove({ runId });
    const next = await newRun(service, "qa", { labels: ["freed"] });
    expect(next.labels).toEqual(["freed"]);
    expect(next.runId).not.toBe(runId);
  });

  test("is guarded by an etag", async () => {
    const { runId, etag } = await newRun(service, "qa");
    const { run } = await service.runs.updateRun({ runId, patch: { description: "changed" } });
    expect(await refusalOf(remove({ runId, etag }))).toEqual({
      code: "Aborted",
      reason: "ETAG_MISMATCH",
      metadata: { etag, current_etag: run?.etag },
    });
    expect((await service.runs.getRun({ runId })).run).toEqual(run);
    await remove({ runId, etag: run?.etag ?? "" });
    expect(await refusalOf(service.runs.getRun({ runId }))).toMatchObject({ reason: "RUN_NOT_FOUND" });
  });

  test("returns the same answer for one request_id, sent ten times at once and later", async () => {
    const { runId } = await newRun(service, "qa");
    const request = { runId, requestId: randomUUID() };
    const answers = await Promise.all(Array.from({ length: 10 }, () => remove(request)));
    await swept();
    expect(await remove(request)).toEqual(answers[0]);
    const { runId: other } = await newRun(service, "qa");
    expect(await refusalOf(remove({ ...request, runId: other }))).toEqual({
      code: "InvalidArgument",
      reason: "REQUEST_ID_REUSED",
      metadata: { request_id: request.requestId },
    });
  });

  test("deletes the stored answers of the calls that wrote the run", async () => {
    const creating = { dataset: named("qa"), run: { name: "twice" }, requestId: randomUUID() };
    const { run: first } = await service.runs.createRun(creating);
    await remove({ runId: first?.runId ?? "" });
    const { run: second } = await service.runs.createRun(creating);
    expect(second?.runId).not.toBe(first?.runId);
  });

  test("its remaining results are deleted with the dataset", async () => {
    await mirror(service, "doomed", questions(1));
    const { runId } = await newRun(service, "doomed");
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    await transaction(database.pool, (client) =>
      deleteRun(client, { projectId: defaultProject, runId, etag: "" }),
    );
    // No longer in use.
    const deletion = { projectId: defaultProject, ref: { name: "doomed" }, etag: "", force: false };
    expect(await transaction(database.pool, (client) => deleteDataset(client, deletion))).toBe(0n);
    expect(Object.values(await rowsOf(runId)).every((count) => count === 0)).toBe(true);
  });

  test("refuses an unknown run, and malformed fields", async () => {
    const missing = `runs${"0".repeat(26)}`;
    expect(await refusalOf(remove({ runId: missing }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missing },
    });
    expect(await refusalOf(remove({}))).toEqual(invalid("run_id"));
    expect(await refusalOf(remove({ runId: missing, requestId: "1" }))).toEqual(invalid("request_id"));
  });
});
