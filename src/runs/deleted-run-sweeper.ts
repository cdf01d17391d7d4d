import type { Sweeper } from "../db/periodic-sweeper.ts";
import type { Client, Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { keepDataset } from "./new-run-store.ts";
import {
  type DeletedRun,
  deleteResultBatch,
  deleteRunId,
  deleteScoreBatch,
  listDeletedRuns,
  lockDeletedRun,
} from "./run-deletion-store.ts";

/**
 * Rows that one transaction deletes: enough for it to be about deleting rather than committing, few enough to take a fraction of
 * a second even if each result is large.
 */
const batchSize = 2_000;

/**
 * Deletes the results of deleted runs. Whoever deletes a run asks for a sweep at once; the regular ones find what a server
 * left that was stopped in the middle.
 */
export function newDeletedRunSweeper(pool: Pool): Sweeper {
  return { name: "deleted runs", sweep: (signal) => sweepDeletedRuns(pool, signal) };
}

/** Deletes the results of all deleted runs, batch by batch, and counts the runs of which nothing is left. */
export async function sweepDeletedRuns(pool: Pool, signal: AbortSignal): Promise<number> {
  let count = 0;
  for (const run of await listDeletedRuns(pool)) {
    if (await sweepRun(pool, run, signal)) count++;
  }
  return count;
}

/** Says whether nothing is left of the run; not if another server is at it, or this one is to stop. */
async function sweepRun(pool: Pool, run: DeletedRun, signal: AbortSignal): Promise<boolean> {
  for (const deleteBatch of [deleteResultBatch, deleteScoreBatch]) {
    for (let after: bigint | undefined = 0n; after !== undefined; ) {
      if (signal.aborted) return false;
      const behind: bigint = after;
      const through = await whileHeld(pool, run, (client) => deleteBatch(client, run, behind, batchSize));
      if (through === "taken") return false;
      after = through;
    }
  }
  return (await whileHeld(pool, run, (client) => deleteRunId(client, run))) !== "taken";
}

/**
 * Runs `work` in a transaction that keeps other servers from the run. The dataset is locked first, as by everybody else who
 * locks both, so that its deletion waits for the batch rather than for somebody who waits for it.
 */
async function whileHeld<T>(
  pool: Pool,
  run: DeletedRun,
  work: (client: Client) => Promise<T>,
): Promise<T | "taken"> {
  return transaction(
    pool,
    async (client) => {
      await keepDataset(client, run.datasetId);
      return (await lockDeletedRun(client, run)) ? work(client) : "taken";
    },
    { durable: false },
  );
}
