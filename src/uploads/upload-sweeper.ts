import { setTimeout as sleep } from "node:timers/promises";
import type { Resources } from "../api/resources.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { deleteSegmentBlobs } from "./delete-segment-blobs.ts";
import { expireOneUpload, findSpentUpload } from "./expiry-store.ts";
import { deleteSegments, isSegment, listSegments } from "./segment-store.ts";
import { segmentOfKey, segmentPrefix } from "./upload.ts";

/** How often expired uploads are looked for. They are kept for a day, so that a minute more or less is nothing. */
const intervalMilliseconds = 60_000;

/** How many rounds pass between two looks at all blobs, which cost a listing. */
const roundsPerListing = 60;

/**
 * How old a blob without a row has to be before it goes. The row follows its blob within seconds; a clock of the storage that is
 * off by less than this does no harm.
 */
const strayMilliseconds = 3_600_000;

type SweepResources = Pick<Resources, "pool" | "blobs" | "log">;

/** Expires uploads now and then until `stopping` fires. Any number of servers may do so on one database. */
export async function runUploadSweeper(resources: SweepResources, stopping: AbortSignal): Promise<void> {
  const { log } = resources;
  for (let round = 0; !stopping.aborted; round++) {
    try {
      const expired = await sweepUploads(resources);
      const strays = round % roundsPerListing === 0 ? await sweepStrays(resources, Date.now()) : 0;
      if (expired + strays > 0) log.info({ expired, strays }, "removed the bytes of uploads");
    } catch (error) {
      // Database or storage may be away for a while; the next round finds the same uploads.
      log.warn({ err: error }, "could not remove the bytes of uploads");
    }
    await sleep(intervalMilliseconds, undefined, { signal: stopping, ref: false }).catch(() => undefined);
  }
}

/** Expires uploads that were not used in time, and removes the bytes of those that are expired or consumed. Counts the former. */
export async function sweepUploads({ pool, blobs }: Pick<SweepResources, "pool" | "blobs">): Promise<number> {
  let expired = 0;
  while (await transaction(pool, expireOneUpload)) expired++;
  for (let spent = await findSpentUpload(pool); spent !== undefined; spent = await findSpentUpload(pool)) {
    // Blobs first: whoever is interrupted finds the rest by the rows.
    await deleteSegmentBlobs(blobs, spent, await listSegments(pool, spent));
    await deleteSegments(pool, spent);
  }
  return expired;
}

/** Removes blobs that belong to no upload: those whose writer was killed before it wrote their row, or after it took it away. */
export async function sweepStrays(
  { pool, blobs }: Pick<SweepResources, "pool" | "blobs">,
  time: number,
): Promise<number> {
  let count = 0;
  for await (const { key, putTime } of blobs.list(segmentPrefix)) {
    if (time - putTime.getTime() < strayMilliseconds || (await isKnown(pool, key))) continue;
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
