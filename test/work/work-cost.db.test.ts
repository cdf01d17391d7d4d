import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { WorkAssignment } from "../../gen/itembank/v1/work_pb.js";
import {
  mirror,
  newRun,
  questions,
  type RunServiceUnderTest,
  runService,
  success,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { startWorker, type Worker } from "./worker.ts";

const tables = ["run_results", "open_cells", "item_revisions", "run_workers"];

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  // One connection, whose usage statistics can be read at once.
  database = await newTestDatabase({ connections: 1 });
  service = await runService(database.pool);
  await mirror(service, "qa", questions(1000));
  // As on a new server: the tables have no statistics yet.
  for (const table of tables) {
    await database.pool.query(`alter table ${table} set (autovacuum_enabled = off)`);
  }
});
afterAll(() => database.drop());

/** Returns the number of rows read so far from the tables that leasing reads. */
async function rowsRead(): Promise<number> {
  await database.pool.query("select pg_stat_force_next_flush()");
  const { rows } = await database.pool.query<{ read: bigint }>(
    `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint as read
     from pg_stat_user_tables where relname = any($1::text[])`,
    [tables],
  );
  return Number(rows[0]?.read);
}

/** Returns the number of rows read while a worker sends a result and gets its next cell. */
async function costOfTurn(worker: Worker, lease: WorkAssignment) {
  const before = await rowsRead();
  worker.answer([lease, 1]);
  await worker.acks();
  const [next] = (await worker.assignments()) as [WorkAssignment];
  return { next, rows: (await rowsRead()) - before };
}

describe("leasing cells of a run with thousands, on tables without statistics", () => {
  test("reads the same few rows at the beginning and near the end of the run", async () => {
    const { runId } = await newRun(service, "qa", { repetitions: 5 });
    await using worker = startWorker(service, { runId, workerId: "one" });
    const [first] = (await worker.assignments()) as [WorkAssignment];
    const early = await costOfTurn(worker, first);
    await using bulk = startWorker(service, { runId, workerId: "bulk", capacity: 900 });
    for (let done = 0; done < 4_500; done += 900) {
      const leases = await bulk.assigned(900);
      if (done + 900 === 4_500) bulk.heartbeat(0);
      if (done + 900 === 4_500) await bulk.renewal();
      const before = await rowsRead();
      bulk.answer(...leases.map((lease) => [lease, 1] as const));
      await bulk.acks();
      // A few rows per cell: its lease, its item, and the cell that is leased next.
      expect((await rowsRead()) - before).toBeLessThan(20 * 900);
    }
    const late = await costOfTurn(worker, early.next);
    expect(early.rows).toBeLessThan(100);
    expect(late.rows).toBeLessThan(100);
  });

  test("passes over finished cells only once", async () => {
    const { runId } = await newRun(service, "qa", { repetitions: 5 });
    for (let repetition = 1; repetition <= 4; repetition++) {
      const results = Array.from({ length: 1000 }, (_, n) => success(`q${n + 1}`, 1, { repetition }));
      await service.runs.recordResults({ runId, results });
    }
    await using worker = startWorker(service, { runId });
    const before = await rowsRead();
    const [first] = (await worker.assignments()) as [WorkAssignment];
    expect(first.repetition).toBe(5);
    expect((await rowsRead()) - before).toBeLessThan(4 * 4_000);
    expect((await costOfTurn(worker, first)).rows).toBeLessThan(100);
  });
});
