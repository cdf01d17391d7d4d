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
 * Rows that one transaction deletes: enough to outweigh the cost of the commit, few enough to take a fraction of a second even
 * if each result is large.
 */
const batchSize = 2_000;

/**
 * Returns a sweeper that deletes the results of deleted runs. Deleting a run requests a sweep at once; the periodic sweeps
 * finish the work of servers that were stopped in between.
 */
export function newDeletedRunSweeper(pool: Pool): Sweeper {
  return { name: "deleted runs", sweep: (signal) => sweepDeletedRuns(pool, signal) };
}

/** Deletes the results of all deleted runs, batch by batch, and returns the number of runs whose results are all deleted. */
export async function sweepDeletedRuns(pool: Pool, signal: AbortSignal): Promise<number> {
  let count = 0;
  for (const run of await listDeletedRuns(pool)) {
    if (await sweepRun(pool, run, signal)) count++;
  }
  return count;
}

/** Returns whether the run is now completely deleted: false if another server is sweeping it, or if this one stops. */
async function sweepRun(pool: Pool, run: DeletedRun, signal: AbortSignal): Promise<boolean> {
  for (const deleteBatch of [deleteResultBatch, deleteScoreBatch]) {
    for (let after: bigint | undefined = 0n; after !== undefined; ) {
      if (signal.aborted) return false;
      const last: bigint = after;
      const through = await whileHeld(pool, run, (client) => deleteBatch(client, run, last, batchSize));
      if (through === "taken") return false;
      after = through;
    }
  }
  return (await whileHeld(pool, run, (client) => deleteRunId(client, run))) !== "taken";
}

/**
 * Runs `work` in a transaction that locks the run against other servers. The dataset is locked first, as in all calls that lock
 * both, so that the deletion of the dataset waits for the batch instead of causing a deadlock. Returns "taken" if the run is
 * locked already or nothing of it is left.
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
