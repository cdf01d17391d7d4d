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

/** How long a file is left alone after its last use, which is recorded every five minutes. */
const graceMilliseconds = 15 * 60_000;

/** The resources of the sweeper of snapshots. */
export interface SnapshotSweeperResources {
  readonly pool: Pool;
  readonly blobs: BlobStore;
  readonly snapshots: Pick<SnapshotCache, "maxBytes" | "forgetPurged">;
}

/**
 * Removes files that contain purged items, or whose dataset is gone, and the least recently used ones when all are too
 * large. Between two sweeps no query finds those with purged items.
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

/** Removes files that are due at a time in milliseconds. Returns their number. */
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

/**
 * Deletes the file before its row, so that no file is ever without one. False if the file is being made or removed
 * elsewhere.
 */
function remove(pool: Pool, blobs: BlobStore, key: SnapshotKey): Promise<boolean> {
  return transaction(pool, async (client) => {
    if (!(await lockUnusedSnapshot(client, key))) return false;
    await blobs.delete(snapshotBlob(key));
    await deleteSnapshot(client, key);
    return true;
  });
}
