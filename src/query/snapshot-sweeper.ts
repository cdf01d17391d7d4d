import { setTimeout as sleep } from "node:timers/promises";
import type { Resources } from "../api/resources.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { snapshotBlob } from "./snapshot-cache.ts";
import {
  deleteSnapshot,
  listUnused,
  listUseless,
  lockUnusedSnapshot,
  type SnapshotKey,
  sumSnapshotBytes,
} from "./snapshot-store.ts";

/** How often files that have to go are looked for. Nobody finds those of purged items in the meantime. */
const intervalMilliseconds = 60_000;

/** How long a file is left alone behind its last use, of which the database hears every five minutes. */
const graceMilliseconds = 15 * 60_000;

/**
 * Removes files that hold purged items, or whose dataset is gone, and the files that were not used for longest when there are too
 * many bytes of them, now and then until `stopping` fires. Any number of servers may do so on one database.
 */
export async function runSnapshotSweeper(resources: Resources): Promise<void> {
  const { log, stopping, snapshots } = resources;
  while (!stopping.aborted) {
    try {
      const count = await sweepSnapshots(resources, snapshots.maxBytes, Date.now());
      if (count > 0) log.info({ count }, "removed snapshots");
      await snapshots.forgetPurged();
    } catch (error) {
      // The database or the storage may be away for a while; the next round finds the same files.
      log.warn({ error: String(error) }, "could not remove snapshots");
    }
    await sleep(intervalMilliseconds, undefined, { signal: stopping, ref: false }).catch(() => undefined);
  }
}

/** Removes what has to go as of a time in milliseconds, and counts it. */
export async function sweepSnapshots(
  { pool, blobs }: { readonly pool: Pool; readonly blobs: BlobStore },
  maxBytes: number,
  time: number,
): Promise<number> {
  const since = new Date(time - graceMilliseconds);
  let count = 0;
  for (const key of await listUseless(pool, since)) if (await remove(pool, blobs, key)) count++;
  let excess = (await sumSnapshotBytes(pool)) - BigInt(maxBytes);
  if (excess <= 0n) return count;
  for (const { sizeBytes, ...key } of await listUnused(pool, since)) {
    if (excess <= 0n) break;
    if (!(await remove(pool, blobs, key))) continue;
    excess -= sizeBytes;
    count++;
  }
  return count;
}

/** The file goes before its row, so that no file is ever without one. False if somebody is making the file, or removing it. */
function remove(pool: Pool, blobs: BlobStore, key: SnapshotKey): Promise<boolean> {
  return transaction(pool, async (client) => {
    if (!(await lockUnusedSnapshot(client, key))) return false;
    await blobs.delete(snapshotBlob(key));
    await deleteSnapshot(client, key);
    return true;
  });
}
