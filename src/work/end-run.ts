import type { Client, Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import type { ProjectId } from "../handles.ts";
import { endRun, lockRun } from "../runs/locked-run-store.ts";
import {
  type FinishTerms,
  finishVerdict,
  hasEnded,
  type LockedRun,
  type Run,
  runEnded,
} from "../runs/run.ts";
import { getRun, getRunScope } from "../runs/run-store.ts";
import { endDispatch } from "./worker-store.ts";

/**
 * Ends a run as completed or failed. A concurrent recording either commits first and is counted, or comes after and is refused.
 * A run that has completed or failed already is returned unchanged.
 *
 * @throws Failure RUN_NOT_FOUND; RUN_ENDED if it was cancelled.
 */
export async function finishRun(
  pool: Pool,
  projectId: ProjectId,
  runId: string,
  terms: FinishTerms,
): Promise<Run> {
  return withLockedRun(pool, projectId, runId, async (client, run) => {
    if (run.state === "cancelled") throw runEnded(runId, run.state);
    if (hasEnded(run.state)) return;
    await endRun(client, run, finishVerdict(run.counts, terms), terms.failureMessage);
    await endDispatch(client, run);
  });
}

/**
 * Cancels a run. A run that was cancelled already is returned unchanged.
 *
 * @throws Failure RUN_NOT_FOUND; RUN_ENDED if it ended otherwise.
 */
export async function cancelRun(pool: Pool, projectId: ProjectId, runId: string): Promise<Run> {
  return withLockedRun(pool, projectId, runId, async (client, run) => {
    if (run.state === "cancelled") return;
    if (hasEnded(run.state)) throw runEnded(runId, run.state);
    await endRun(client, run, "cancelled", "");
    await endDispatch(client, run);
  });
}

async function withLockedRun(
  pool: Pool,
  projectId: ProjectId,
  runId: string,
  work: (client: Client, run: LockedRun) => Promise<void>,
): Promise<Run> {
  return transaction(pool, async (client) => {
    await work(client, await lockRun(client, await getRunScope(client, projectId, runId)));
    return getRun(client, projectId, runId);
  });
}
