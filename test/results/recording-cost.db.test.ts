import { afterAll, beforeAll, describe, expect, test } from "vitest";
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

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  // One connection, whose usage statistics can be read at once.
  database = await newTestDatabase({ connections: 1 });
  service = await runService(database.pool);
  await mirror(service, "qa", questions(1000));
  // As on a new server: the tables have no statistics yet.
  await database.pool.query("alter table run_results set (autovacuum_enabled = off)");
});
afterAll(() => database.drop());

/** Returns the number of rows of results that have been read from the table so far. */
async function rowsRead(): Promise<number> {
  await database.pool.query("select pg_stat_force_next_flush()");
  const { rows } = await database.pool.query<{ read: bigint }>(
    "select seq_tup_read + coalesce(idx_tup_fetch, 0) as read from pg_stat_user_tables where relname = 'run_results'",
  );
  return Number(rows[0]?.read);
}

describe("writing 100 results of a run with thousands, on tables without statistics", () => {
  let runId: string;
  const batch = (repetition: number, result: typeof failed | typeof success, text: string, size = 1000) =>
    Array.from({ length: size }, (_, n) => result(`q${n + 1}`, text, { repetition }));
  const cost = async (results: ResultInit[]) => {
    const before = await rowsRead();
    await service.runs.recordResults({ runId, results });
    return (await rowsRead()) - before;
  };

  beforeAll(async () => {
    ({ runId } = await newRun(service, "qa", { repetitions: 10 }));
    for (let repetition = 1; repetition <= 5; repetition++) {
      const results = batch(repetition, repetition < 3 ? failed : success, "before");
      await service.runs.recordResults({ runId, results });
    }
  });

  test("reads no results for cells that have none", async () => {
    expect(await cost(batch(6, success, "new", 100))).toBe(0);
  });

  test("reads each cell's result a few times if it replaces an error", async () => {
    expect(await cost(batch(1, success, "instead", 100))).toBeLessThanOrEqual(400);
  });

  test("reads each result a few times if it is scored when sent again", async () => {
    const scores = [{ name: "s", value: 1 }];
    const scored = Array.from({ length: 100 }, (_, n) =>
      success(`q${n + 1}`, "before", { repetition: 4, scores }),
    );
    expect(await cost(scored)).toBeLessThanOrEqual(600);
  });

  test("reads each result a few times for its scores, including results that were scored before", async () => {
    const { results } = await service.runs.listResults({ runId, missingScores: ["t"], pageSize: 1000 });
    const wanted = results.filter(({ repetition }) => repetition === 4).slice(0, 100);
    expect(wanted).toHaveLength(100);
    for (const value of [1, 2]) {
      const before = await rowsRead();
      const scores = wanted.map(({ resultId }) => ({ resultId, score: { name: "t", value } }));
      await service.runs.recordScores({ runId, scores });
      expect((await rowsRead()) - before).toBeLessThanOrEqual(600);
    }
  });

  test("reads each attempt a few times if results are deleted", async () => {
    const before = await rowsRead();
    const cells = Array.from({ length: 100 }, (_, n) => ({ itemId: `q${n + 1}`, repetition: 1 }));
    expect((await service.runs.deleteResults({ runId, cells })).deletedCount).toBe(100n);
    // Each cell has two attempts.
    expect((await rowsRead()) - before).toBeLessThanOrEqual(800);
  });
});
