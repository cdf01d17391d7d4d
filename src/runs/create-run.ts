import type { DatasetRef } from "../datasets/dataset.ts";
import { datasetNotFound, getDataset } from "../datasets/dataset-store.ts";
import type { Client } from "../db/pool.ts";
import { failure } from "../failure.ts";
import type { VersionSelector } from "../versions/version.ts";
import { resolveVersion } from "../versions/version-store.ts";
import { insertRun, keepDataset, takeLabels } from "./new-run-store.ts";
import { defaultName, type NewRun, type Run } from "./run.ts";
import { lockRunAndHolders } from "./run-definition-store.ts";
import { countCoveredItems } from "./run-item-store.ts";

/** A run to create, and what to create it on. */
export interface CreateRequest {
  readonly dataset: DatasetRef;
  readonly at: VersionSelector;
  /** An empty name is made from those of dataset and target. */
  readonly run: NewRun;
}

/**
 * Creates a run pinned to a version.
 *
 * @throws Failure DATASET_NOT_FOUND, VERSION_NOT_FOUND, TAG_NOT_FOUND, EMPTY_RUN
 */
export async function createRun(
  client: Client,
  projectId: string,
  author: string,
  { dataset: ref, at, run }: CreateRequest,
): Promise<Run> {
  const dataset = await getDataset(client, projectId, ref);
  const { datasetId } = dataset;
  const datasetVersion = await resolveVersion(client, dataset, at);
  const itemCount = await countCoveredItems(client, { datasetId, datasetVersion, splits: run.splits });
  if (itemCount === 0n) throw failure("EMPTY_RUN", { dataset_id: datasetId, version: datasetVersion });
  if (!(await keepDataset(client, datasetId))) throw datasetNotFound(ref);
  const created = await insertRun(
    client,
    { projectId, datasetId, datasetVersion, itemCount, author },
    { ...run, name: run.name || defaultName(dataset.name, run) },
  );
  if (run.labels.length > 0) {
    await takeLabels(client, created, run.labels, await lockRunAndHolders(client, created, run.labels));
  }
  return { ...created, labels: run.labels };
}
