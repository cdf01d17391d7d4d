import { type DatasetRef, requireEtag } from "../datasets/dataset.ts";
import { lockDataset } from "../datasets/dataset-store.ts";
import { countRuns, deleteDatasetRows, listLockedTags } from "../datasets/deletion-store.ts";
import { notifyAfterCommit } from "../db/notifications.ts";
import type { Client } from "../db/pool.ts";
import { failure } from "../failure.ts";
import type { ProjectId } from "../handles.ts";
import { versionsChannel } from "../versions/version.ts";

/** The dataset to delete, and the guards. */
export interface DatasetDeletion {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  /** If not empty, the etag that the dataset must have. */
  readonly etag: string;
  /** Whether to delete its runs as well, and ignore locked tags. */
  readonly force: boolean;
}

/**
 * Deletes a dataset with everything in it. Returns the number of runs that were deleted with it.
 *
 * @throws Failure DATASET_NOT_FOUND, ETAG_MISMATCH, DATASET_IN_USE
 */
export async function deleteDataset(
  client: Client,
  { projectId, ref, etag, force }: DatasetDeletion,
): Promise<bigint> {
  const dataset = await lockDataset(client, projectId, ref);
  requireEtag(dataset, etag);
  const { datasetId } = dataset;
  const runCount = await countRuns(client, datasetId);
  const lockedTags = await listLockedTags(client, datasetId);
  if (!force && (runCount > 0n || lockedTags.length > 0)) {
    throw failure("DATASET_IN_USE", {
      dataset_id: datasetId,
      run_count: runCount,
      locked_tags: lockedTags.join(","),
    });
  }
  await deleteDatasetRows(client, datasetId);
  notifyAfterCommit(client, versionsChannel, datasetId);
  return runCount;
}
