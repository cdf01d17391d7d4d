import type { Pool } from "../db/pool.ts";
import type { DatasetHandle } from "../handles.ts";
import { limits } from "../limits.ts";
import { findPurgeCount } from "./purge-store.ts";

/** The size of a read. At least one row is read, however large. */
export interface ReadSize {
  readonly limit: number;
  readonly bytes: number;
}

/** The rows of one read. */
export interface ReadPage<Cursor> {
  /** The position to resume after; undefined if nothing follows. */
  readonly rest: Cursor | undefined;
  /** The average size of a row in bytes; 0 without rows. */
  readonly averageSize: number;
}

/** A frame ready to be sent. */
export interface ReadFrame<Cursor, Frame> {
  readonly frame: Frame;
  /** The position after it. */
  readonly through: Cursor;
}

/** The reader of pages, and the maker of their frames. */
export interface PageReader<Cursor, Page extends ReadPage<Cursor>, Frame> {
  read(behind: Cursor, size: ReadSize): Promise<Page>;
  /** Yields the frames of a page, each when the previous one has been sent. */
  frames(page: Page): Iterable<ReadFrame<Cursor, Frame>>;
}

/**
 * A frame at first, for callers that want no more, then so much that round trips to the database do not matter. Each
 * reader holds twice as much.
 */
const firstRead: ReadSize = { limit: limits.maxBatchSize, bytes: limits.maxBatchBytes };
const largestRead: ReadSize = { limit: 32 * limits.maxBatchSize, bytes: 8 * 1024 * 1024 };

/** Returns the size of the next read: at most the rows that are likely to fit, because reading more would be wasted. */
function nextRead(averageSize: number): ReadSize {
  const { limit, bytes } = largestRead;
  return { limit: Math.max(1, Math.min(limit, Math.floor(bytes / Math.max(averageSize, 1)))), bytes };
}

/**
 * How long a page that was read ahead may wait for its reader. Later, calls that purge items may have been answered
 * meanwhile; a reader that continues at once cannot tell which came first.
 */
const staleMilliseconds = 200;

/**
 * Streams rows about the items of a dataset, page by page. The next page is read while the consumer works on one, and
 * no connection is held meanwhile. Items that are purged while a page waits for a slow consumer are left out of its
 * frames.
 */
export async function* streamPages<Cursor, Page extends ReadPage<Cursor>, Frame>(
  pool: Pool,
  datasetId: DatasetHandle,
  start: Cursor,
  { read, frames }: PageReader<Cursor, Page, Frame>,
): AsyncGenerator<Frame> {
  const readAhead = (behind: Cursor, size: ReadSize) => fetch(pool, datasetId, () => read(behind, size));
  let cursor = start;
  let ahead = readAhead(cursor, firstRead);
  for (;;) {
    const fetched = await ahead;
    const { content: page } = fetched;
    const next = page.rest === undefined ? undefined : readAhead(page.rest, nextRead(page.averageSize));
    let isStale = false;
    for (const { frame, through } of frames(page)) {
      isStale = !(await isFresh(pool, datasetId, fetched));
      if (isStale) break;
      cursor = through;
      yield frame;
    }
    // The page that was read ahead may contain purged items, too.
    if (isStale) ahead = readAhead(cursor, firstRead);
    else if (next === undefined) return;
    else ahead = next;
  }
}

/** Rows that are passed on one by one. */
export interface RowCursor {
  /** Advances to the next row; false after the last one. */
  next(): boolean;
  /** The approximate size of the current row in bytes. */
  readonly size: number;
}

/** Collects rows into frames. */
export interface FrameMaker<F> {
  begin(): void;
  add(): void;
  /** Returns the frame of the rows added so far. The current row is the first of the next frame by then. */
  end(): F;
}

/** Cuts rows into frames of at most this many rows and bytes. A frame has at least one row, however large. */
export function* cutFrames<F>(
  rows: RowCursor,
  { limit, bytes: maxBytes }: ReadSize,
  { begin, add, end }: FrameMaker<F>,
): Generator<F> {
  let hasRow = rows.next();
  while (hasRow) {
    begin();
    let [count, bytes] = [0, 0];
    do {
      add();
      count++;
      bytes += rows.size;
      hasRow = rows.next();
    } while (hasRow && count < limit && bytes + rows.size <= maxBytes);
    yield end();
  }
}

/** A page that was read ahead, and the number of items purged before. */
interface Fetched<T> {
  readonly content: T;
  readonly purgeCount: bigint | undefined;
  checkedAt: number;
}

/** Starts reading. If the consumer stops, the read is abandoned. */
function fetch<T>(pool: Pool, datasetId: DatasetHandle, read: () => Promise<T>): Promise<Fetched<T>> {
  const fetching = (async () => {
    const purgeCount = await findPurgeCount(pool, datasetId);
    return { content: await read(), purgeCount, checkedAt: performance.now() };
  })();
  fetching.catch(() => undefined);
  return fetching;
}

/** Whether nothing was purged since it was read. */
async function isFresh<T>(pool: Pool, datasetId: DatasetHandle, fetched: Fetched<T>): Promise<boolean> {
  if (performance.now() - fetched.checkedAt <= staleMilliseconds) return true;
  if ((await findPurgeCount(pool, datasetId)) !== fetched.purgeCount) return false;
  fetched.checkedAt = performance.now();
  return true;
}
