import { requireEtag } from "../datasets/dataset.ts";
import type { Client } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";
import { takeLabels } from "./new-run-store.ts";
import { isSameRunDefinition, type Run, type RunPatch, runDefinitionOf } from "./run.ts";
import { dropOtherLabels, lockRunAndHolders, updateRunDefinition } from "./run-definition-store.ts";
import { getRun, getRunScope } from "./run-store.ts";

/** Which run to change or delete. */
export interface RunTarget {
  readonly projectId: ProjectId;
  readonly runId: string;
  /** If not empty, the one that the run has to have. */
  readonly etag: string;
}

/**
 * Changes what a run says about itself, in any state, and its etag and update_time if that changes anything. Labels that other
 * runs of the dataset have go over to it.
 *
 * @throws Failure RUN_NOT_FOUND, ETAG_MISMATCH
 */
export async function updateRun(
  client: Client,
  { projectId, runId, etag }: RunTarget,
  patch: RunPatch,
): Promise<Run> {
  const scope = await getRunScope(client, projectId, runId);
  const time = await lockRunAndHolders(client, scope, patch.labels ?? []);
  const run = await getRun(client, projectId, runId);
  requireEtag(run, etag);
  const definition = { ...runDefinitionOf(run), ...patch };
  if (isSameRunDefinition(definition, run)) return run;
  await updateRunDefinition(client, scope, definition, time);
  await dropOtherLabels(client, scope, definition.labels);
  const added = definition.labels.filter((label) => !run.labels.includes(label));
  await takeLabels(client, scope, added, time);
  return getRun(client, projectId, runId);
}
