import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { transaction } from "../../src/db/transaction.ts";
import type { DatasetHandle } from "../../src/handles.ts";
import { streamReplacedScoresOfItem, streamResultsOfItem } from "../../src/results/erasure-store.ts";
import {
  mirror,
  newRun,
  questions,
  type RunServiceUnderTest,
  runService,
  success,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { datasetHandle } from "../support/handles.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  // One connection, whose usage statistics can be read at once.
  database = await newTestDatabase({ connections: 1 });
  service = await runService(database.pool);
});
afterAll(() => database.drop());

/** Returns the number of rows that have been read from a table so far. */
async function rowsRead(table: string): Promise<number> {
  await database.pool.query("select pg_stat_force_next_flush()");
  const { rows } = await database.pool.query<{ read: bigint }>(
    "select seq_tup_read + coalesce(idx_tup_fetch, 0) as read from pg_stat_user_tables where relname = $1",
    [table],
  );
  return Number(rows[0]?.read);
}

/** Creates a dataset of a thousand items, with results that were scored twice in three runs. */
async function newDataset(name: string): Promise<DatasetHandle> {
  const { datasetId } = await mirror(service, name, questions(1000));
  for (let run = 0; run < 3; run++) {
    const { runId } = await newRun(service, name);
    const results = Array.from({ length: 1000 }, (_, n) =>
      success(`q${n + 1}`, "said", { scores: [{ name: "s", value: 0 }] }),
    );
    const { resultIds } = await service.runs.recordResults({ runId, results });
    const scores = resultIds.map((resultId) => ({ resultId, score: { name: "s", value: 1 } }));
    await service.runs.recordScores({ runId, scores });
  }
  return datasetHandle(datasetId);
}

describe("erasing one item of a thousand", () => {
  beforeAll(async () => {
    for (const table of ["run_results", "replaced_scores", "runs"]) {
      await database.pool.query(`alter table ${table} set (autovacuum_enabled = off)`);
    }
  });

  test.each([
    ["without statistics", "qa"],
    ["with statistics from before its dataset came", "later"],
  ])("reads its results and their replaced scores alone, in tables %s", async (_, name) => {
    const datasetId = await newDataset(name);
    const before = { results: await rowsRead("run_results"), scores: await rowsRead("replaced_scores") };
    const found = await transaction(database.pool, async (client) => {
      let [results, scores] = [0, 0];
      for await (const page of streamResultsOfItem(client, datasetId, "q500")) results += page.length;
      for await (const page of streamReplacedScoresOfItem(client, datasetId, "q500")) scores += page.length;
      return { results, scores };
    });
    expect(found).toEqual({ results: 3, scores: 3 });
    expect((await rowsRead("run_results")) - before.results).toBeLessThanOrEqual(6);
    expect((await rowsRead("replaced_scores")) - before.scores).toBeLessThanOrEqual(3);
    await database.pool.query("analyze run_results, replaced_scores, runs");
  });
});
