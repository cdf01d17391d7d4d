import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { LRUCache } from "lru-cache";
import { BlobMissing, type BlobStore, type LocalBlob } from "../blobs/blob-store.ts";
import type { Scratch } from "../blobs/scratch.ts";
import type { Pool } from "../db/pool.ts";
import { streamingTransaction } from "../db/streaming-transaction.ts";
import type { EnginePool } from "../engine/engine-pool.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, RunHandle } from "../handles.ts";
import { findPurgeCount } from "../items/purge-store.ts";
import type { Logger } from "../log.ts";
import { FileCache } from "./file-cache.ts";
import {
  finishSnapshot,
  insertSnapshot,
  itemsQuery,
  listPurgeCounts,
  lockSnapshot,
  resultsQuery,
  type SnapshotKey,
  touchSnapshot,
} from "./snapshot-store.ts";
import { itemTableColumns, runTableColumns } from "./table-columns.ts";
import { writeRows } from "./write-rows.ts";

/** What a table holds: the items of a version, or the current results of a run in one of its states. */
export type SnapshotSource =
  | ({ readonly kind: "version" } & SnapshotKey)
  | {
      readonly kind: "run";
      readonly runId: RunHandle;
      readonly datasetId: DatasetHandle;
      readonly state: string;
      readonly purgeCount: bigint;
    };

/** What was to be read has been purged of items since it was looked up: look again. */
export class SnapshotStale extends Error {
  override readonly name = "SnapshotStale";
}

/** How often the database hears that a file is in use, at most. */
const touchMilliseconds = 5 * 60_000;

/** How many files are known to have been noted. With more in use, some are noted more often. */
const mostTouched = 1_000;

interface SnapshotsOptions {
  readonly pool: Pool;
  readonly blobs: BlobStore;
  readonly scratch: Scratch;
  readonly engines: EnginePool;
  readonly log: Logger;
  /** Bytes of files that are kept at hand. */
  readonly maxBytes: number;
}

/** Where the file of a version is in the storage of files. */
export function snapshotBlob({ datasetId, version, purgeCount }: SnapshotKey): string {
  return `snapshots/${datasetId}/${purgeCount}-${version}.parquet`;
}

/**
 * Versions and runs as Parquet files. A version never changes, so its file is made once, by one process, and kept in the storage
 * of files for all; that of a run is made by each process for itself, whenever the run has changed. Each file is known by how
 * many items of its dataset had been purged: when another one is, no file that holds it is found any more.
 */
export class SnapshotCache implements AsyncDisposable {
  readonly #options: SnapshotsOptions;
  readonly #files: FileCache;
  readonly #closing = new AbortController();
  /** The files whose use was noted lately. */
  readonly #touched = new LRUCache<string, true>({ max: mostTouched, ttl: touchMilliseconds });

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#files = new FileCache(options.maxBytes);
  }

  /**
   * The file of a source, which stays at least until it is disposed of. Many who ask for one that is not there wait for one
   * builder, which goes on if they leave.
   *
   * @throws SnapshotStale if an item was purged since the source was looked up; the reason of the signal; StorageError; Failure
   */
  async open(source: SnapshotSource, signal: AbortSignal): Promise<LocalBlob> {
    const { datasetId, purgeCount } = source;
    const run = source.kind === "run" ? source.runId : "";
    const state = source.kind === "run" ? source.state : `${source.version}`;
    // What was purged is forgotten, and so is how a run was before.
    this.#files.forget(
      (file) =>
        file.datasetId === datasetId &&
        (file.purgeCount < purgeCount || (run !== "" && file.run === run && file.state !== state)),
    );
    const file = await this.#files.open(
      { datasetId, run, state, purgeCount },
      () => (source.kind === "run" ? this.#buildRun(source) : this.#findVersion(source)),
      signal,
    );
    if (source.kind === "version") this.#touch(source);
    return file;
  }

  /** Gives up what holds items that were purged since, or that are gone with their dataset. */
  async forgetPurged(): Promise<void> {
    const ids = [...new Set(this.#files.keys().map(({ datasetId }) => datasetId))];
    const counts = await listPurgeCounts(this.#options.pool, ids);
    this.#files.forget(({ datasetId, purgeCount }) => purgeCount !== counts.get(datasetId));
  }

  /** Bytes of files that are kept. */
  get maxBytes(): number {
    return this.#options.maxBytes;
  }

  /** Stops what is being built, and gives back all files. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(failure("SHUTTING_DOWN", {}));
    await this.#files[Symbol.asyncDispose]();
  }

  async #findVersion(key: SnapshotKey): Promise<LocalBlob> {
    const { blobs } = this.#options;
    for (;;) {
      try {
        return await blobs.openFile(snapshotBlob(key));
      } catch (error) {
        if (!(error instanceof BlobMissing)) throw error;
      }
      await this.#buildVersion(key);
    }
  }

  /** Makes the file of a version, or waits until another process has. */
  async #buildVersion(key: SnapshotKey): Promise<void> {
    const { pool, blobs, scratch, engines } = this.#options;
    const { signal } = this.#closing;
    using _ = await engines.takeWriterTurn(signal);
    await insertSnapshot(pool, key);
    await streamingTransaction(pool, async (client) => {
      const row = await lockSnapshot(client, key);
      // Without a row, somebody has removed it since, and it is announced again. With one that says that the file is there, it may
      // have been lost all the same; then it is made again.
      if (row === undefined || (row.isMade && (await this.#isThere(key)))) return;
      await using file = await scratch.newFile();
      await using between = await scratch.newFile();
      await writeRows({ client, engines, signal }, itemsQuery(key), {
        columns: itemTableColumns,
        membersOf: "input",
        path: file.path,
        scratchPath: between.path,
      });
      // Purging erases and counts at once, so rows were as whole as this many purges left them if there are no more behind them.
      if ((await findPurgeCount(client, key.datasetId)) !== key.purgeCount) throw new SnapshotStale();
      await blobs.put(snapshotBlob(key), createReadStream(file.path));
      await finishSnapshot(client, key, (await stat(file.path)).size);
    });
  }

  async #isThere(key: SnapshotKey): Promise<boolean> {
    try {
      await using _ = await this.#options.blobs.openFile(snapshotBlob(key));
      return true;
    } catch (error) {
      if (error instanceof BlobMissing) return false;
      throw error;
    }
  }

  async #buildRun(source: SnapshotSource & { readonly kind: "run" }): Promise<LocalBlob> {
    const { pool, scratch, engines } = this.#options;
    const { signal } = this.#closing;
    using _ = await engines.takeWriterTurn(signal);
    const file = await scratch.newFile();
    try {
      await streamingTransaction(pool, (client) =>
        writeRows({ client, engines, signal }, resultsQuery(source), {
          columns: runTableColumns,
          membersOf: undefined,
          path: file.path,
          scratchPath: file.path,
        }),
      );
      return file;
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Lets the database know, now and then, that a file is in use. Nobody waits for it, and it does not matter if it fails. */
  #touch(key: SnapshotKey): void {
    const blob = snapshotBlob(key);
    if (this.#touched.has(blob)) return;
    this.#touched.set(blob, true);
    touchSnapshot(this.#options.pool, key).catch((error: unknown) => {
      this.#options.log.debug({ error: String(error) }, "could not note the use of a snapshot");
    });
  }
}
