import { requireEtag } from "../datasets/dataset.ts";
import type { Client } from "../db/pool.ts";
import { lockRunAndHolders } from "./run-definition-store.ts";
import { deleteRunRow } from "./run-deletion-store.ts";
import { getRun, getRunScope } from "./run-store.ts";
import type { RunTarget } from "./update-run.ts";

/**
 * Deletes a run with its labels, in one step for readers. `sweepDeletedRuns` deletes its results and scores: a million of them
 * would keep the transaction open for half a minute.
 *
 * @throws Failure RUN_NOT_FOUND, ETAG_MISMATCH
 */
export async function deleteRun(client: Client, { projectId, runId, etag }: RunTarget): Promise<void> {
  const scope = await getRunScope(client, projectId, runId);
  const time = await lockRunAndHolders(client, scope, []);
  requireEtag(await getRun(client, projectId, runId), etag);
  await deleteRunRow(client, scope, time);
}
