import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunResult } from "../../gen/itembank/v1/result_pb.js";
import { type Run, Run_State } from "../../gen/itembank/v1/run_pb.js";
import { KeyedMutex } from "../../src/db/keyed-mutex.ts";
import { transaction } from "../../src/db/transaction.ts";
import { purgeItem } from "../../src/purge/purge-item.ts";
import { keepRun } from "../../src/runs/carry-store.ts";
import { createRun } from "../../src/runs/create-run.ts";
import { keepDataset } from "../../src/runs/new-run-store.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { datasetHandle, defaultProject, runHandle } from "../support/handles.ts";
import { waitForLock } from "../support/locks.ts";
import {
  collect,
  failed,
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
});
afterAll(() => database.drop());

type Request = Parameters<RunServiceUnderTest["runs"]["createRun"]>[0];
const create = async (request: Request) => (await service.runs.createRun(request)).run as Run;
const carry = (dataset: string, { runId }: { runId: string }, run: NonNullable<Request["run"]> = {}) =>
  create({ dataset: named(dataset), run, carryFromRunId: runId });
const record = (runId: string, ...results: ReturnType<typeof success>[]) =>
  service.runs.recordResults({ runId, results });
const listed = async ({ runId }: { runId: string }) =>
  (await service.runs.listResults({ runId, pageSize: 1000 })).results;
const cellsOf = (results: readonly RunResult[]) =>
  results.map(({ itemId, repetition }) => `${itemId}/${repetition}`);

const nothingSaid = {
  name: "",
  description: "",
  targetType: "",
  targetId: "",
  metadata: undefined,
  labels: [],
};

let datasets = 0;
/** Creates a dataset of three items, and a run on it in which all succeeded. */
async function earlier(run: NonNullable<Request["run"]> = {}) {
  const name = `dataset ${++datasets}`;
  await mirror(service, name, { a: "1", b: "2", c: "3" });
  const source = await newRun(service, name, run);
  await record(source.runId, ...["a", "b", "c"].map((itemId) => success(itemId, itemId)));
  return { name, source };
}

describe("CreateRun with carry_from_run_id", () => {
  test("copies successes of items with equal content in both versions, and nothing else", async () => {
    const name = "drifting";
    await mirror(service, name, {
      same: { input: 1, splits: ["x"] },
      moved: { input: 2, splits: ["x"] },
      changed: "before",
      deleted: "gone",
      failing: "4",
      open: "5",
    });
    const source = await newRun(service, name, { repetitions: 2 });
    await record(
      source.runId,
      ...["same", "moved", "changed", "deleted"].map((itemId) => success(itemId, 1)),
      success("same", 2, { repetition: 2 }),
      failed("failing", "no"),
      failed("moved", "no", { repetition: 2 }),
    );
    await mirror(service, name, {
      same: { input: 1, splits: ["x"] },
      moved: { input: 2, splits: ["y"] },
      changed: "after",
      failing: "4",
      open: "5",
      added: "6",
    });
    const run = await carry(name, source, { repetitions: 2 });
    expect(cellsOf(await listed(run))).toEqual(["moved/1", "same/1", "same/2"]);
    expect(run).toMatchObject({
      datasetVersion: 2n,
      state: Run_State.RUNNING,
      counts: { expected: 12n, succeeded: 3n, carried: 3n, failed: 0n, missing: 9n },
    });
    expect(run.startTime).toBeDefined();
    expect((await service.runs.getRun({ runId: run.runId })).run).toEqual(run);
    const { items } = await service.runs.listIncomplete({ runId: run.runId });
    expect(items.map(({ itemId, missingRepetitions }) => [itemId, missingRepetitions])).toEqual([
      ["added", [1, 2]],
      ["changed", [1, 2]],
      ["failing", [1, 2]],
      ["moved", [2]],
      ["open", [1, 2]],
    ]);
  });

  test("copies only cells that both runs have: the fewer repetitions, the splits of the new run", async () => {
    await mirror(service, "cells", {
      a: { input: 1, splits: ["x"] },
      b: { input: 2, splits: ["y"] },
    });
    const source = await newRun(service, "cells", { repetitions: 3 });
    const all = ["a", "b"].flatMap((id) => [1, 2, 3].map((repetition) => success(id, 1, { repetition })));
    await record(source.runId, ...all);
    expect(cellsOf(await listed(await carry("cells", source, { repetitions: 2, splits: ["x"] })))).toEqual([
      "a/1",
      "a/2",
    ]);
    const more = await carry("cells", source, { repetitions: 4 });
    expect(more.counts).toMatchObject({ expected: 8n, succeeded: 6n, carried: 6n, missing: 2n });
    const narrow = await newRun(service, "cells", { splits: ["y"] });
    await record(narrow.runId, success("b", 1));
    expect(cellsOf(await listed(await carry("cells", narrow)))).toEqual(["b/1"]);
  });

  test("copies all fields of a result and its scores under an id of the new run, and names the original", async () => {
    const { name, source } = await earlier({ repetitions: 2 });
    const [resultId = ""] = (
      await record(
        source.runId,
        success(
          "a",
          { deep: [1.5, null] },
          {
            repetition: 2,
            startTime: { seconds: 10n, nanos: 1000 },
            completeTime: { seconds: 12n, nanos: 0 },
            latency: { seconds: 1n, nanos: 5000 },
            retryCount: 2,
            traceId: "trace",
            usage: { inputTokens: 5n, cost: 0.25, currencyCode: "EUR" },
            scores: [
              { name: "s", value: 1, explanation: "good", metadataJson: '{"m": 1.0}' },
              { name: "broken", error: "no judge" },
            ],
          },
        ),
      )
    ).resultIds;
    await service.runs.recordScores({
      runId: source.runId,
      scores: [{ resultId, score: { name: "s", value: 2 } }],
    });
    const run = await carry(name, source, { repetitions: 2 });
    const original = (await service.runs.getResult({ resultId })).result as RunResult;
    const carried = (await listed(run)).find(({ repetition }) => repetition === 2) as RunResult;
    expect(carried).toEqual({
      ...original,
      resultId: expect.stringMatching(/^rslt[0-9a-z]{26}$/),
      runId: run.runId,
      sequence: 2n,
      createTime: carried.createTime,
      carriedFromResultId: resultId,
    });
    expect(carried.resultId).not.toBe(resultId);
    const found = await service.runs.getResult({ resultId: carried.resultId });
    expect(found).toMatchObject({ result: carried, replaced: false, replacedScores: [] });
    expect(original.carriedFromResultId).toBe("");
    // Scoring it does not touch the original.
    await service.runs.recordScores({
      runId: run.runId,
      scores: [{ resultId: carried.resultId, score: { name: "s", value: 3 } }],
    });
    expect((await service.runs.getResult({ resultId })).result).toEqual(original);
  });

  test("copies the current result of a cell, and numbers results without gaps whatever the earlier run's history", async () => {
    const { name, source } = await earlier();
    const overwriting = { runId: source.runId, results: [success("b", "new")], overwrite: true };
    const { resultIds } = await service.runs.recordResults(overwriting);
    const run = await carry(name, source);
    const { results, end } = await collect(service, { runId: run.runId });
    expect(results.map(({ itemId, sequence, attempt }) => [itemId, sequence, attempt])).toEqual([
      ["a", 1n, 1],
      ["b", 2n, 1],
      ["c", 3n, 1],
    ]);
    expect(results[1]).toMatchObject({ carriedFromResultId: resultIds[0], outcome: { value: '"new"' } });
    expect(end.throughSequence).toBe(3n);
    await record(run.runId, success("a", "a"));
    const deleted = { runId: run.runId, cells: [{ itemId: "a", repetition: 1 }] };
    await service.runs.deleteResults(deleted);
    await record(run.runId, success("a", "other"));
    const after = await collect(service, { runId: run.runId, afterSequence: 3n });
    expect(after.results.map(({ sequence }) => sequence)).toEqual([4n]);
  });

  test("names the original through any number of carries, even if the runs in between were deleted", async () => {
    const { name, source } = await earlier();
    const originals = (await listed(source)).map(({ resultId }) => resultId);
    const second = await carry(name, source);
    const third = await carry(name, second);
    await service.runs.deleteRun({ runId: second.runId });
    const results = await listed(third);
    expect(results.map(({ carriedFromResultId }) => carriedFromResultId)).toEqual(originals);
    const fourth = await carry(name, third);
    expect((await listed(fourth)).map(({ carriedFromResultId }) => carriedFromResultId)).toEqual(originals);
    expect(fourth.counts).toMatchObject({ succeeded: 3n, carried: 3n });
  });

  test("preserves every id of an original", async () => {
    await mirror(service, "thousand", questions(1000));
    const source = await newRun(service, "thousand", { repetitions: 2 });
    for (const repetition of [1, 2]) {
      const results = Array.from({ length: 1000 }, (_, n) => success(`q${n + 1}`, n, { repetition }));
      await record(source.runId, ...results);
    }
    const run = await carry("thousand", source, { repetitions: 2 });
    const originals = (await collect(service, { runId: source.runId })).results;
    const idOf = new Map(originals.map((one) => [`${one.itemId}/${one.repetition}`, one.resultId]));
    const { results } = await collect(service, { runId: run.runId });
    expect(results).toHaveLength(2000);
    for (const { itemId, repetition, carriedFromResultId } of results) {
      expect(carriedFromResultId).toBe(idOf.get(`${itemId}/${repetition}`));
    }
  });

  test("carries an item that was deleted and recreated with equal content, under its new version", async () => {
    await mirror(service, "revived", { a: "1", b: "2" });
    const source = await newRun(service, "revived");
    await record(source.runId, success("a", 1));
    await mirror(service, "revived", { b: "2" });
    await mirror(service, "revived", { a: "1", b: "2" });
    const [result] = await listed(await carry("revived", source));
    expect(result).toMatchObject({ itemId: "a", itemVersion: 3n });
  });

  test("carries to an earlier version as well", async () => {
    const { name } = await earlier();
    await mirror(service, name, { a: "1", b: "changed" });
    const later = await newRun(service, name);
    await record(later.runId, success("a", "later"), success("b", "later"));
    const at = { by: { case: "version", value: 1n } } as const;
    const run = await create({ dataset: named(name), at, run: {}, carryFromRunId: later.runId });
    expect(cellsOf(await listed(run))).toEqual(["a/1"]);
    expect(run.counts).toMatchObject({ expected: 3n, carried: 1n });
  });

  test("a carried success is final like any other, and no longer counts as carried once it is replaced or deleted", async () => {
    const { name, source } = await earlier();
    const { runId } = await carry(name, source);
    const countsOf = async () => (await service.runs.getRun({ runId })).run?.counts;
    expect((await record(runId, success("a", "a"))).counts).toMatchObject({ unchanged: 1n });
    const [carried] = await listed({ runId });
    expect(await refusalOf(record(runId, success("a", "other")))).toMatchObject({
      reason: "RESULT_FINAL",
      metadata: { result_id: carried?.resultId },
    });
    expect(await countsOf()).toMatchObject({ succeeded: 3n, carried: 3n });
    await service.runs.recordResults({ runId, results: [success("a", "other")], overwrite: true });
    expect(await countsOf()).toMatchObject({ succeeded: 3n, carried: 2n });
    await service.runs.deleteResults({ runId, cells: [{ itemId: "b", repetition: 1 }] });
    expect(await countsOf()).toMatchObject({ succeeded: 2n, carried: 1n, missing: 1n });
    await service.runs.recordResults({ runId, results: [failed("c", "no")], overwrite: true });
    expect(await countsOf()).toMatchObject({ succeeded: 1n, failed: 1n, carried: 0n });
  });

  test("a success of a purged item is copied without its text, but counted and scored", async () => {
    const { name, source } = await earlier();
    const [first] = await listed(source);
    const score = { name: "s", value: 1, label: "good", explanation: "secret" };
    const scores = [{ resultId: first?.resultId ?? "", score }];
    await service.runs.recordScores({ runId: source.runId, scores });
    await purgeItem(
      { pool: database.pool, mutex: new KeyedMutex() },
      { projectId: defaultProject, ref: { name }, itemId: "a" },
    );
    const run = await carry(name, source);
    expect(run.counts).toMatchObject({ succeeded: 3n, carried: 3n, missing: 0n });
    expect((await listed(run))[0]).toMatchObject({
      itemId: "a",
      outcome: { case: "outputJson", value: "" },
      scores: [{ name: "s", value: 1, label: "good", explanation: "" }],
    });
  });

  test("an item that is purged during the copy leaves no text in the new run", async () => {
    const { name, source } = await earlier();
    const request = { projectId: defaultProject, ref: { name }, itemId: "a" };
    let purging: Promise<unknown> = Promise.resolve();
    const run = await transaction(database.pool, async (client) => {
      const created = await createRun(client, defaultProject, "", {
        dataset: { name },
        at: undefined,
        run: { ...nothingSaid, splits: [], repetitions: 1 },
        carryFromRunId: source.runId,
      });
      purging = purgeItem({ pool: database.pool, mutex: new KeyedMutex() }, request);
      await waitForLock(client);
      return created;
    });
    await purging;
    expect((await listed(run))[0]).toMatchObject({ itemId: "a", outcome: { value: "" } });
  });

  test("with nothing to copy, the run begins like any other", async () => {
    const { name } = await earlier();
    const run = await carry(name, await newRun(service, name));
    expect(run).toMatchObject({ state: Run_State.PENDING, counts: { carried: 0n, missing: 3n } });
    expect(run.startTime).toBeUndefined();
  });

  test.each([
    ["open", async () => undefined, Run_State.RUNNING],
    ["completed", (runId: string) => service.runs.finishRun({ runId }), Run_State.COMPLETED],
    ["failed", (runId: string) => service.runs.finishRun({ runId, failureMessage: "x" }), Run_State.FAILED],
    ["cancelled", (runId: string) => service.runs.cancelRun({ runId }), Run_State.CANCELLED],
  ])("carries from a run that is %s, which stays unchanged", async (_, end, state) => {
    const { name, source } = await earlier();
    await end(source.runId);
    const { run: before } = await service.runs.getRun({ runId: source.runId });
    const run = await carry(name, source);
    expect(run.counts).toMatchObject({ succeeded: 3n, carried: 3n });
    const { run: after } = await service.runs.getRun({ runId: source.runId });
    expect(after).toEqual(before);
    expect(after?.state).toBe(state);
    // Every cell has a success.
    expect((await service.runs.finishRun({ runId: run.runId, minSuccessRatio: 1 })).run?.state).toBe(
      Run_State.COMPLETED,
    );
  });

  test("takes effect once for one request_id", async () => {
    const { name, source } = await earlier();
    const request = {
      dataset: named(name),
      run: {},
      carryFromRunId: source.runId,
      requestId: randomUUID(),
    };
    const answers = await Promise.all(Array.from({ length: 5 }, () => create(request)));
    expect(new Set(answers.map(({ runId }) => runId)).size).toBe(1);
    expect(answers[0]?.counts).toMatchObject({ carried: 3n });
    expect(await refusalOf(create({ ...request, carryFromRunId: "" }))).toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
  });

  test("refuses a run on another dataset, an unknown run, and a grid without cells", async () => {
    const { name, source } = await earlier();
    const { source: elsewhere } = await earlier();
    const missing = `runs${"0".repeat(26)}`;
    const count = async () => (await service.runs.listRuns({ dataset: named(name) })).runs.length;
    const before = await count();
    expect(await refusalOf(carry(name, elsewhere))).toEqual(invalid("carry_from_run_id"));
    expect(await refusalOf(carry(name, { runId: "x".repeat(129) }))).toEqual(invalid("carry_from_run_id"));
    expect(await refusalOf(carry(name, { runId: missing }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missing },
    });
    expect(await refusalOf(carry(name, source, { splits: ["none"] }))).toMatchObject({
      code: "FailedPrecondition",
      reason: "EMPTY_RUN",
    });
    expect(await count()).toBe(before);
  });
});

describe("while results are copied", () => {
  test("versions are made and results of the earlier run recorded, but its deletion waits", async () => {
    const { name, source } = await earlier({ repetitions: 2 });
    let deletion: Promise<unknown> = Promise.resolve();
    await transaction(database.pool, async (client) => {
      // The locks that CreateRun holds meanwhile.
      await keepDataset(client, datasetHandle(source.datasetId));
      await keepRun(client, {
        datasetId: datasetHandle(source.datasetId),
        runId: runHandle(source.runId),
      });
      expect((await mirror(service, name, { a: "other" })).version).toBe(2n);
      await record(source.runId, success("a", 1, { repetition: 2 }));
      deletion = service.runs.deleteRun({ runId: source.runId });
      await waitForLock(client);
    });
    await deletion;
    await expect
      .poll(async () => {
        const { rowCount } = await database.pool.query("select from run_ids where delete_time is not null");
        return rowCount;
      })
      .toBe(0);
  });

  test("100 recorders of the earlier run do not interfere: the copy is a snapshot", async () => {
    await mirror(service, "busy", questions(100));
    const source = await newRun(service, "busy");
    const writers = Array.from({ length: 100 }, (_, n) => record(source.runId, success(`q${n + 1}`, n)));
    const runs = await Promise.all(Array.from({ length: 5 }, () => carry("busy", source)));
    await Promise.all(writers);
    for (const run of runs) {
      const results = await listed(run);
      expect(run.counts).toMatchObject({
        succeeded: BigInt(results.length),
        carried: BigInt(results.length),
        missing: BigInt(100 - results.length),
      });
    }
    expect((await carry("busy", source)).counts).toMatchObject({ succeeded: 100n, carried: 100n });
  });
});
