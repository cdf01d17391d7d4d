/** A blob that a listing found. */
export interface BlobEntry {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was put, by the clock of the storage. */
  readonly putTime: Date;
}

/** A blob as a file that others can read, until it is disposed of. */
export interface LocalBlob extends AsyncDisposable {
  readonly path: string;
}

/**
 * Keeps blobs: bytes under a key, written once as a whole and read any number of times. Keys consist of one or more
 * parts of [a-z0-9._-], separated by slashes, and no part begins with a point.
 *
 * Every method throws StorageError if the storage does not respond or refuses. Disposing of the store closes its
 * connections and leaves the blobs.
 */
export interface BlobStore extends AsyncDisposable {
  /** The location of the blobs, for people, without credentials. */
  readonly description: string;

  /** Verifies that blobs can be put. */
  check(): Promise<void>;

  /**
   * Puts a blob. Once this resolves it survives a crash; until then readers see only the blob that was under the key
   * before. If `content` throws, so does this, and nothing was put. Takes memory for a few chunks, not for all.
   */
  put(key: string, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;

  /** Streams a blob from its beginning. @throws BlobMissing */
  read(key: string): AsyncIterable<Uint8Array>;

  /**
   * Returns a blob as a file: itself, or a copy that is removed when it is disposed of. It must not be written to.
   * @throws BlobMissing
   */
  openFile(key: string): Promise<LocalBlob>;

  /** Deletes a blob if there is one. */
  delete(key: string): Promise<void>;

  /** Streams the blobs whose keys begin with these parts: `uploads` for `uploads/…`. In no order. */
  list(prefix: string): AsyncIterable<BlobEntry>;
}

/** The storage does not respond or refuses. `cause` says why, for the log. */
export class StorageError extends Error {
  override readonly name = "StorageError";

  constructor(what: string, cause: unknown) {
    super(`${what}: ${cause instanceof Error ? cause.message || cause.name : String(cause)}`, { cause });
  }
}

/** There is no blob under this key. */
export class BlobMissing extends Error {
  override readonly name = "BlobMissing";

  constructor(key: string) {
    super(`there is no blob ${key}`);
  }
}

/** Ensures that a key cannot lead out of the storage. @throws Error if it is not valid */
export function requireKey(key: string): void {
  if (!/^[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*)*$/.test(key))
    throw new Error(`${key} is not a blob key`);
}
