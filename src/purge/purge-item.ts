import { mutexKey } from "../changesets/write-once.ts";
import type { DatasetRef } from "../datasets/dataset.ts";
import { clockOf, lockDataset } from "../datasets/dataset-store.ts";
import type { Instant } from "../db/instant.ts";
import type { KeyedMutex } from "../db/keyed-mutex.ts";
import type { Client, Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import {
  countRevisions,
  eraseRevisions,
  findPurgeTime,
  insertPurge,
  lockUnfinishedWrites,
} from "../items/purge-store.ts";
import { eraseResults } from "../results/erase-results.ts";

/** The item to purge. */
export interface PurgeRequest {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  readonly itemId: string;
}

/** The effect of a purge: the revisions and results that no longer have any content of the item. */
export interface Purge {
  readonly revisionCount: bigint;
  readonly resultCount: bigint;
  /** When the item was purged, for the first time. */
  readonly purgeTime: Instant;
}

/**
 * Erases the content of an item from every version, every unfinished write and every result of every run. Idempotent.
 *
 * @throws Failure DATASET_NOT_FOUND; ITEM_NOT_FOUND if no version ever had the item.
 */
export async function purgeItem(
  { pool, mutex }: { readonly pool: Pool; readonly mutex: KeyedMutex },
  request: PurgeRequest,
): Promise<Purge> {
  return mutex.runExclusive(mutexKey(request), () => transaction(pool, (client) => purge(client, request)));
}

/**
 * Acquires the locks of all calls that might be adding content of the item: publishers (the dataset), imports (their
 * changesets), and recorders (their runs), in the order in which those calls acquire them. So all content added before is
 * visible and erased, and calls that add content later see that the item was purged.
 */
async function purge(client: Client, { projectId, ref, itemId }: PurgeRequest): Promise<Purge> {
  const { datasetId, headVersion } = await lockDataset(client, projectId, ref);
  const revisionCount = await countRevisions(client, datasetId, itemId);
  if (revisionCount === 0n) {
    throw failure("ITEM_NOT_FOUND", { dataset_id: datasetId, item_id: itemId, version: headVersion });
  }
  const purgeTime = await purgeTimeOf(client, datasetId, itemId);
  await lockUnfinishedWrites(client, datasetId);
  await eraseRevisions(client, datasetId, itemId);
  const resultCount = await eraseResults(client, datasetId, itemId);
  return { revisionCount, resultCount, purgeTime };
}

/** Marks the item as purged unless it is already, and returns the time of the first purge. */
async function purgeTimeOf(client: Client, datasetId: DatasetHandle, itemId: string): Promise<Instant> {
  const known = await findPurgeTime(client, datasetId, itemId);
  if (known !== undefined) return known;
  const time = await clockOf(client, datasetId);
  await insertPurge(client, datasetId, itemId, time);
  return time;
}
