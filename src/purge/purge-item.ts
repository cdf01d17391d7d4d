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

/** Which item to purge. */
export interface PurgeRequest {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  readonly itemId: string;
}

/** What holds nothing of the item any more. */
export interface Purge {
  readonly revisionCount: bigint;
  readonly resultCount: bigint;
  /** When the item was purged, for the first time. */
  readonly purgeTime: Instant;
}

/**
 * Erases what an item holds, from every version, every unfinished write and every result of every run. Purging again
 * changes nothing.
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
 * Takes the locks of all who might be adding content of the item: publishers (the dataset), imports (their changesets), and
 * recorders (their runs), in the order in which they take them. So everything they have added is there to be erased, and
 * what they add later they add knowing that the item was purged.
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

/** Marks the item as purged unless it is, and says since when. */
async function purgeTimeOf(client: Client, datasetId: DatasetHandle, itemId: string): Promise<Instant> {
  const known = await findPurgeTime(client, datasetId, itemId);
  if (known !== undefined) return known;
  const time = await clockOf(client, datasetId);
  await insertPurge(client, datasetId, itemId, time);
  return time;
}
