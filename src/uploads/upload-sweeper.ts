import type { BlobStore } from "../blobs/blob-store.ts";
import type { Sweeper } from "../db/periodic-sweeper.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { deleteSegmentBlobs } from "./delete-segment-blobs.ts";
import { expireOneUpload, findSpentUpload } from "./expiry-store.ts";
import { deleteSegments, isSegment, listSegments } from "./segment-store.ts";
import { segmentOfKey, segmentPrefix } from "./upload.ts";

/** How often all blobs are looked at, which costs a listing. */
const listingMilliseconds = 3_600_000;

/**
 * How old a blob without a row has to be before it goes. The row follows its blob within seconds; a clock of the storage that is
 * off by less than this does no harm.
 */
const orphanMilliseconds = 3_600_000;

/** What the sweepers of uploads work with. */
export interface UploadSweeperResources {
  readonly pool: Pool;
  readonly blobs: BlobStore;
}

/** Expires uploads and removes the bytes of those that are over. An upload is kept for a day, so a minute more is nothing. */
export function newUploadSweeper(resources: UploadSweeperResources): Sweeper {
  return { name: "uploads", sweep: (signal) => sweepUploads(resources, signal) };
}

/** Removes blobs that belong to no upload. */
export function newOrphanedBlobSweeper(resources: UploadSweeperResources): Sweeper {
  return {
    name: "orphaned blobs",
    intervalMilliseconds: listingMilliseconds,
    sweep: (signal) => sweepOrphanedBlobs(resources, Date.now(), signal),
  };
}

/** Expires uploads that were not used in time, and removes the bytes of those that are expired or consumed. Counts the former. */
export async function sweepUploads(
  { pool, blobs }: UploadSweeperResources,
  signal: AbortSignal,
): Promise<number> {
  let expired = 0;
  while (!signal.aborted && (await transaction(pool, expireOneUpload))) expired++;
  while (!signal.aborted) {
    const spent = await findSpentUpload(pool);
    if (spent === undefined) break;
    // Blobs first: whoever is interrupted finds the rest by the rows.
    await deleteSegmentBlobs(blobs, spent, await listSegments(pool, spent));
    await deleteSegments(pool, spent);
  }
  return expired;
}

/** Removes blobs that belong to no upload: those whose writer was killed before it wrote their row, or after it took it away. */
export async function sweepOrphanedBlobs(
  { pool, blobs }: UploadSweeperResources,
  time: number,
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  for await (const { key, putTime } of blobs.list(segmentPrefix)) {
    if (signal.aborted) break;
    if (time - putTime.getTime() < orphanMilliseconds || (await isKnown(pool, key))) continue;
    await blobs.delete(key);
    count++;
  }
  return count;
}

async function isKnown(pool: Pool, key: string): Promise<boolean> {
  const segment = segmentOfKey(key);
  // What is no segment is not ours to take away.
  return segment === undefined || isSegment(pool, segment.uploadId, segment);
}
