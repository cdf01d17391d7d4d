import type { BlobStore } from "../blobs/blob-store.ts";
import type { Sweeper } from "../db/periodic-sweeper.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { type SnapshotCache, snapshotBlob } from "./snapshot-cache.ts";
import {
  deleteSnapshot,
  listUnused,
  listUseless,
  lockUnusedSnapshot,
  type SnapshotKey,
  sumSnapshotBytes,
} from "./snapshot-store.ts";

/** How long a file is left alone behind its last use, of which the database hears every five minutes. */
const graceMilliseconds = 15 * 60_000;

/** What the sweeper of snapshots works with. */
export interface SnapshotSweeperResources {
  readonly pool: Pool;
  readonly blobs: BlobStore;
  readonly snapshots: Pick<SnapshotCache, "maxBytes" | "forgetPurged">;
}

/**
 * Removes files that hold purged items, or whose dataset is gone, and the files that were not used for longest when there are too
 * many bytes of them. Between two sweeps no query finds those of purged items.
 */
export function newSnapshotSweeper({ pool, blobs, snapshots }: SnapshotSweeperResources): Sweeper {
  return {
    name: "snapshots",
    async sweep(signal) {
      const count = await sweepSnapshots({ pool, blobs }, snapshots.maxBytes, Date.now(), signal);
      await snapshots.forgetPurged();
      return count;
    },
  };
}

/** Removes what has to go as of a time in milliseconds, and counts it. */
export async function sweepSnapshots(
  { pool, blobs }: { readonly pool: Pool; readonly blobs: BlobStore },
  maxBytes: number,
  time: number,
  signal: AbortSignal,
): Promise<number> {
  const since = new Date(time - graceMilliseconds);
  let count = 0;
  for (const key of await listUseless(pool, since)) {
    if (signal.aborted) return count;
    if (await remove(pool, blobs, key)) count++;
  }
  let excess = (await sumSnapshotBytes(pool)) - BigInt(maxBytes);
  if (excess <= 0n) return count;
  for (const { sizeBytes, ...key } of await listUnused(pool, since)) {
    if (excess <= 0n || signal.aborted) break;
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
