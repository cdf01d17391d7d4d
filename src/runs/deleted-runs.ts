import type { Client, Pool } from "../db/pool.ts";
import { sweepRegularly } from "../db/sweeping.ts";
import { transaction } from "../db/transaction.ts";
import type { Logger } from "../log.ts";
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
 * Gives a function to call behind the deletion of a run: what is left of it is deleted in the background, one sweep at a time
 * however many runs are deleted. What fails or is cut short is left to `runDeletedRunSweeper`.
 */
export function newDeletedRunSweep(pool: Pool, log: Logger, stopping: AbortSignal): () => void {
  let wanted = false;
  let sweeping = false;
  const sweep = async () => {
    if (sweeping) return;
    sweeping = true;
    while (wanted && !stopping.aborted) {
      wanted = false;
      try {
        await sweepDeletedRuns(pool, stopping);
      } catch (error) {
        log.warn({ error: String(error) }, "could not delete results of a deleted run");
      }
    }
    sweeping = false;
  };
  return () => {
    wanted = true;
    void sweep();
  };
}

/** Deletes what is left of deleted runs now and then, after a server was stopped in the middle of it. */
export async function runDeletedRunSweeper(pool: Pool, log: Logger, stopping: AbortSignal): Promise<void> {
  await sweepRegularly(log, stopping, {
    what: "deleting results of deleted runs",
    sweep: () => sweepDeletedRuns(pool, stopping),
  });
}

/** Deletes the results of all deleted runs, batch by batch, and counts the runs of which nothing is left. */
export async function sweepDeletedRuns(pool: Pool, stopping: AbortSignal): Promise<number> {
  let count = 0;
  for (const run of await listDeletedRuns(pool)) {
    if (await sweepRun(pool, run, stopping)) count++;
  }
  return count;
}

/** Says whether nothing is left of the run; not if another server is at it, or this one is to stop. */
async function sweepRun(pool: Pool, run: DeletedRun, stopping: AbortSignal): Promise<boolean> {
  for (const deleteBatch of [deleteResultBatch, deleteScoreBatch]) {
    for (let after: bigint | undefined = 0n; after !== undefined; ) {
      if (stopping.aborted) return false;
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
