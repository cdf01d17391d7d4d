import type { Pool } from "../db/pool.ts";
import type { DatasetHandle } from "../handles.ts";
import { limits } from "../limits.ts";
import { findPurgeCount } from "./purge-store.ts";

/** How much to read at a time. At least one row is read, however large. */
export interface ReadSize {
  readonly limit: number;
  readonly bytes: number;
}

/** What was read at a time. */
export interface ReadPage<Cursor> {
  /** Where to read on; undefined if there is nothing behind. */
  readonly rest: Cursor | undefined;
  /** Bytes of a row, on average; 0 without any. */
  readonly averageSize: number;
}

/** A frame that is ready to be sent. */
export interface ReadFrame<Cursor, Frame> {
  readonly frame: Frame;
  /** Where to read on behind it. */
  readonly through: Cursor;
}

/** How rows are read, and what becomes of them. */
export interface PageReader<Cursor, Page extends ReadPage<Cursor>, Frame> {
  read(behind: Cursor, size: ReadSize): Promise<Page>;
  /** Makes frames of a page, one when the one before is on its way. */
  frames(page: Page): Iterable<ReadFrame<Cursor, Frame>>;
}

/**
 * A frame at first, for those who want no more, then so much that the way to the database and back does not matter. Twice as
 * much is held for each reader.
 */
const firstRead: ReadSize = { limit: limits.maxBatchSize, bytes: limits.maxBatchBytes };
const largestRead: ReadSize = { limit: 32 * limits.maxBatchSize, bytes: 8 * 1024 * 1024 };

/** What to read next: no more rows than are likely to fit, for those that do not are looked at in vain. */
function nextRead(averageSize: number): ReadSize {
  const { limit, bytes } = largestRead;
  return { limit: Math.max(1, Math.min(limit, Math.floor(bytes / Math.max(averageSize, 1)))), bytes };
}

/**
 * How long what was read ahead may wait for its reader. When it is older, items may have been purged meanwhile by a call that was
 * answered; a reader who goes on at once cannot tell which was first.
 */
const staleMilliseconds = 200;

/**
 * Streams what hangs on the items of a dataset, page by page. The next page is read while the consumer works on one, and no
 * connection is held while it does. What is purged while a page waits for a slow consumer is not in a frame any more.
 */
export async function* streamPages<Cursor, Page extends ReadPage<Cursor>, Frame>(
  pool: Pool,
  datasetId: DatasetHandle,
  start: Cursor,
  { read, frames }: PageReader<Cursor, Page, Frame>,
): AsyncGenerator<Frame> {
  const readAhead = (behind: Cursor, size: ReadSize) => fetch(pool, datasetId, () => read(behind, size));
  let place = start;
  let ahead = readAhead(place, firstRead);
  for (;;) {
    const fetched = await ahead;
    const { content: page } = fetched;
    const next = page.rest === undefined ? undefined : readAhead(page.rest, nextRead(page.averageSize));
    let isStale = false;
    for (const { frame, through } of frames(page)) {
      isStale = !(await isFresh(pool, datasetId, fetched));
      if (isStale) break;
      place = through;
      yield frame;
    }
    // What was purged meanwhile may also be in what was read ahead.
    if (isStale) ahead = readAhead(place, firstRead);
    else if (next === undefined) return;
    else ahead = next;
  }
}

/** Rows that are passed on one by one. */
export interface Rows {
  /** Goes to the next row; false behind the last one. */
  next(): boolean;
  /** Bytes of the present row, about. */
  readonly size: number;
}

/** Where the present row goes. */
export interface FrameMaker<F> {
  begin(): void;
  add(): void;
  /** The frame of what was added. The present row is the one behind it by then. */
  end(): F;
}

/** Cuts rows into frames of so many rows and bytes. A frame has at least one row, however large. */
export function* cutFrames<F>(
  rows: Rows,
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

/** Something that was read ahead, and how many items had been purged before. */
interface Fetched<T> {
  readonly content: T;
  readonly purgeCount: bigint | undefined;
  checkedAt: number;
}

/** Starts reading. If the consumer leaves, nobody waits for it. */
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
