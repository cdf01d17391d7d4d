import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { limits } from "../limits.ts";
import type { EncodedItem } from "./encoded-item.ts";
import type { Item } from "./item.ts";
import {
  copyItems,
  type ItemFilter,
  listItems,
  type PageBounds,
  type Place,
  placeBehind,
} from "./item-page-store.ts";
import { findPurgeCount } from "./purge-store.ts";

/** What one frame may hold. */
export type FrameBounds = Omit<PageBounds, "after">;

/** Which items of which dataset to read. */
export interface ItemRange {
  readonly datasetId: string;
  readonly version: bigint;
  readonly filter: ItemFilter;
  /** Items behind this item_id; undefined starts at the first. */
  readonly after: string | undefined;
}

/** A page of a version, in ascending byte order of item_id. `isLast` if nothing is behind it. */
export async function readPage(
  pool: Pool,
  { datasetId, version, filter, after }: ItemRange,
  bounds: FrameBounds,
): Promise<{ readonly items: readonly Item[]; readonly isLast: boolean }> {
  return transaction(pool, (client) => listItems(client, datasetId, version, filter, { after, ...bounds }), {
    indexOrder: true,
  });
}

/**
 * How long what was read ahead may wait for its reader. When it is older, items in it may have been purged meanwhile by a call
 * that was answered; a reader who goes on at once cannot tell which was first.
 */
const staleMilliseconds = 200;

/** Something that was read ahead, and how many items had been purged before. */
interface Fetched<T> {
  readonly content: T;
  readonly purgeCount: bigint | undefined;
  checkedAt: number;
}

/** Starts reading. If the consumer leaves, nobody waits for it. */
function fetchAhead<T>(pool: Pool, datasetId: string, read: () => Promise<T>): Promise<Fetched<T>> {
  const fetching = (async () => {
    const purgeCount = await findPurgeCount(pool, datasetId);
    return { content: await read(), purgeCount, checkedAt: performance.now() };
  })();
  fetching.catch(() => undefined);
  return fetching;
}

/** Whether nothing was purged since it was read. */
async function isFresh<T>(pool: Pool, datasetId: string, fetched: Fetched<T>): Promise<boolean> {
  if (performance.now() - fetched.checkedAt <= staleMilliseconds) return true;
  if ((await findPurgeCount(pool, datasetId)) !== fetched.purgeCount) return false;
  fetched.checkedAt = performance.now();
  return true;
}

/**
 * Streams the items of a version, page by page. The next page is read while the consumer works on one, and no connection is
 * held while it does. What is purged while a page waits for a slow consumer is not on it any more.
 */
export async function* streamItems(
  pool: Pool,
  range: ItemRange,
  bounds: FrameBounds,
): AsyncGenerator<{ readonly items: readonly Item[] }> {
  const { datasetId } = range;
  const fetchBehind = (after: string | undefined) =>
    fetchAhead(pool, datasetId, () => readPage(pool, { ...range, after }, bounds));
  let { after } = range;
  let ahead = fetchBehind(after);
  for (;;) {
    let page = await ahead;
    if (!(await isFresh(pool, datasetId, page))) page = await fetchBehind(after);
    const { items, isLast } = page.content;
    after = items.at(-1)?.itemId;
    if (after === undefined) return;
    if (!isLast) ahead = fetchBehind(after);
    yield { items };
    if (isLast) return;
  }
}

/** Takes items as they come, and is what a frame is made of. */
interface ItemBatch {
  readonly count: number;
  add(item: EncodedItem): void;
}

/**
 * How much is read at a time: a frame at first, for those who want no more, then so much that the way to the database and back
 * does not matter. Twice as much is held for each reader.
 */
const firstRead = { limit: 1_000, bytes: limits.maxBatchBytes };
const largestRead = { limit: 32_000, bytes: 8 * 1024 * 1024 };

/** What to read next: no more revisions than are likely to fit, for those that do not are looked at in vain. */
function nextRead(averageSize: number): typeof firstRead {
  const { limit, bytes } = largestRead;
  return { limit: Math.max(1, Math.min(limit, Math.floor(bytes / Math.max(averageSize, 1)))), bytes };
}

/**
 * The same at the speed of the database, which leaves items as it sends them.
 *
 * @param newBatch makes what the items of a frame are put into.
 */
export async function* streamBatches<B extends ItemBatch>(
  pool: Pool,
  { datasetId, version, filter, after }: ItemRange,
  bounds: FrameBounds,
  newBatch: () => B,
): AsyncGenerator<{ readonly batch: B; readonly through: string }> {
  const fetchBehind = (behind: Place, size: typeof firstRead) => {
    const part = { behind, ...size };
    return fetchAhead(pool, datasetId, () =>
      transaction(pool, (client) => copyItems(client, datasetId, version, filter, part), {
        indexOrder: true,
      }),
    );
  };
  let through = after;
  let ahead = fetchBehind(placeBehind(after), firstRead);
  for (;;) {
    const fetched = await ahead;
    const items = fetched.content;
    const next = items.rest && fetchBehind(items.rest, nextRead(items.averageSize));
    let hasItem = items.next();
    while (hasItem && (await isFresh(pool, datasetId, fetched))) {
      const batch = newBatch();
      let bytes = 0;
      do {
        batch.add(items.item);
        bytes += items.size;
        hasItem = items.next();
      } while (hasItem && batch.count < bounds.items && bytes + items.size <= bounds.bytes);
      through = items.itemIdBefore;
      yield { batch, through };
    }
    // What was purged meanwhile may also be in what was read ahead.
    if (hasItem) ahead = fetchBehind(placeBehind(through), firstRead);
    else if (next === undefined) return;
    else ahead = next;
  }
}
