import { requireEtag } from "../datasets/dataset.ts";
import type { Client } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";
import { takeLabels } from "./new-run-store.ts";
import { isSameRunDefinition, type Run, type RunPatch, runDefinitionOf } from "./run.ts";
import { dropOtherLabels, lockRunAndHolders, updateRunDefinition } from "./run-definition-store.ts";
import { getRun, getRunScope } from "./run-store.ts";

/** The run to change or delete. */
export interface RunTarget {
  readonly projectId: ProjectId;
  readonly runId: string;
  /** If not empty, the etag that the run must have. */
  readonly etag: string;
}

/**
 * Changes the definition of a run in any state, and its etag and update_time if the definition differs. Labels move to it from
 * other runs of the dataset.
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
