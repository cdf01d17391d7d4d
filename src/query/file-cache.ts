import { access, stat } from "node:fs/promises";
import type { LocalBlob } from "../blobs/blob-store.ts";

/** What a file holds. */
export interface FileKey {
  readonly datasetId: string;
  /** Empty for a version. */
  readonly run: string;
  readonly state: string;
  readonly purgeCount: bigint;
}

interface CachedFile extends FileKey {
  readonly id: string;
  readonly file: Promise<LocalBlob>;
  size: number;
  users: number;
  /** Whether nobody is to find it any more; it goes with its last user. */
  forgotten: boolean;
}

/** Keeps files at hand, those used last, up to a number of bytes. A file in use is never given up. */
export class FileCache {
  readonly #maxBytes: number;
  /** In the order of their last use. */
  readonly #files = new Map<string, CachedFile>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * The file of a key, until it is disposed of. `load` is asked for one that is not there, once however many wait for it, and goes
   * on if they leave.
   *
   * @throws what `load` throws; the reason of the signal
   */
  async open(key: FileKey, load: () => Promise<LocalBlob>, signal: AbortSignal): Promise<LocalBlob> {
    const id = `${key.datasetId}/${key.run}/${key.purgeCount}/${key.state}`;
    for (;;) {
      signal.throwIfAborted();
      const cached = this.#files.get(id) ?? this.#add(id, key, load);
      this.#files.delete(id);
      this.#files.set(id, cached);
      cached.users++;
      try {
        const { path } = await unlessAborted(cached.file, signal);
        // What is kept elsewhere may have been removed there, after some time without use.
        if (await isThere(path)) return { path, [Symbol.asyncDispose]: async () => this.#leave(cached) };
      } catch (error) {
        this.#leave(cached);
        throw error;
      }
      this.#forget(cached);
      this.#leave(cached);
    }
  }

  /** Makes sure that nobody is given these files any more, and gives them up when they are not in use. */
  forget(isMeant: (file: FileKey) => boolean): void {
    for (const cached of [...this.#files.values()].filter(isMeant)) this.#forget(cached);
  }

  /** What files there are. */
  keys(): FileKey[] {
    return [...this.#files.values()];
  }

  /** Gives up all files. */
  async close(): Promise<void> {
    const all = [...this.#files.values()];
    this.#files.clear();
    await Promise.all(all.map((cached) => this.#giveUp(cached)));
  }

  #add(id: string, key: FileKey, load: () => Promise<LocalBlob>): CachedFile {
    const cached: CachedFile = { ...key, id, file: load(), size: 0, users: 0, forgotten: false };
    cached.file
      .then(async ({ path }) => {
        const { size } = await stat(path);
        if (cached.forgotten) return;
        cached.size = size;
        this.#bytes += cached.size;
        this.#shrink();
      })
      // What could not be loaded is loaded again by whoever asks next; those who wait are told.
      .catch(() => this.#forget(cached));
    return cached;
  }

  #leave(cached: CachedFile): void {
    cached.users--;
    this.#shrink();
    if (cached.forgotten && cached.users === 0) void this.#giveUp(cached);
  }

  #shrink(): void {
    for (const cached of this.#files.values()) {
      if (this.#bytes <= this.#maxBytes) return;
      if (cached.users === 0 && cached.size > 0) this.#forget(cached);
    }
  }

  #forget(cached: CachedFile): void {
    if (cached.forgotten) return;
    cached.forgotten = true;
    this.#bytes -= cached.size;
    if (this.#files.get(cached.id) === cached) this.#files.delete(cached.id);
    if (cached.users === 0) void this.#giveUp(cached);
  }

  async #giveUp({ file }: CachedFile): Promise<void> {
    const loaded = await file.catch(() => undefined);
    await loaded?.[Symbol.asyncDispose]();
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    // Gone, or as good as that.
    return false;
  }
}

/** Waits for a promise, or throws the reason of the signal. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener("abort", stop);
  }
}
