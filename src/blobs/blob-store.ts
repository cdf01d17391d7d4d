/** A blob that a listing found. */
export interface BlobEntry {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was put, by the clock of the storage. */
  readonly putTime: Date;
}

/** A blob as a file that others can read, for as long as it is not disposed of. */
export interface LocalBlob extends AsyncDisposable {
  readonly path: string;
}

/**
 * Keeps blobs: bytes under a key, written once as a whole and read any number of times. Keys are made of one or more parts
 * of [a-z0-9._-], parted by slashes, and no part begins with a point.
 *
 * Every method throws StorageError if the storage does not answer or refuses. Disposing of the store gives back connections and
 * leaves the blobs.
 */
export interface BlobStore extends AsyncDisposable {
  /** Where the blobs are, for people, without credentials. */
  readonly description: string;

  /** Makes sure that blobs can be put. */
  check(): Promise<void>;

  /**
   * Puts a blob. Once this resolves it survives a crash; until then no reader sees anything under the key but the blob that
   * was there before. If `content` throws, so does this, and nothing was put. Takes memory for a few pieces, not for all.
   */
  put(key: string, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;

  /** Streams a blob from its beginning. @throws BlobMissing */
  read(key: string): AsyncIterable<Uint8Array>;

  /** Gives a blob as a file: itself, or a copy that goes when it is disposed of. Nobody may write to it. @throws BlobMissing */
  openFile(key: string): Promise<LocalBlob>;

  /** Deletes a blob if there is one. */
  delete(key: string): Promise<void>;

  /** Streams what is there under keys that begin with these parts: `uploads` for `uploads/…`. In no order. */
  list(prefix: string): AsyncIterable<BlobEntry>;
}

/** The storage does not answer or refuses. `cause` says why, for the log. */
export class StorageError extends Error {
  override readonly name = "StorageError";

  constructor(what: string, cause: unknown) {
    super(`${what}: ${cause instanceof Error ? cause.message || cause.name : String(cause)}`, { cause });
  }
}

/** There is no blob under a key. */
export class BlobMissing extends Error {
  override readonly name = "BlobMissing";

  constructor(key: string) {
    super(`there is no blob ${key}`);
  }
}

/** Makes sure that a key cannot lead out of the storage. @throws Error if it is none */
export function requireKey(key: string): void {
  if (!/^[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*)*$/.test(key))
    throw new Error(`${key} is no key of a blob`);
}
