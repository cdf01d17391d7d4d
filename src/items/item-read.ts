import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import type { EncodedItem } from "./encoded-item.ts";
import type { Item } from "./item.ts";
import { copyItems, type ItemFilter, listItems, type PageBounds } from "./item-page-store.ts";
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

/** Some of what is streamed, and where the rest begins. */
interface StreamedPage {
  /** The last item_id; undefined if there are no items. */
  readonly through: string | undefined;
  readonly isLast: boolean;
}

/** Streams the items of a version, page by page, as `streamPages` does. */
export function streamItems(
  pool: Pool,
  range: ItemRange,
  bounds: FrameBounds,
): AsyncGenerator<StreamedPage & { readonly items: readonly Item[] }> {
  return streamPages(pool, range, async (after) => {
    const { items, isLast } = await readPage(pool, { ...range, after }, bounds);
    return { items, isLast, through: items.at(-1)?.itemId };
  });
}

/** Takes items as they come, and is what a frame is made of. */
interface ItemBatch {
  add(item: EncodedItem): void;
}

/**
 * The same at the speed of the database, which leaves items as it sends them.
 *
 * @param newBatch makes what the items of a page are put into.
 */
export function streamBatches<B extends ItemBatch>(
  pool: Pool,
  { datasetId, version, filter, after }: ItemRange,
  bounds: FrameBounds,
  newBatch: () => B,
): AsyncGenerator<StreamedPage & { readonly batch: B }> {
  return streamPages(pool, { datasetId, after }, async (from) => {
    const batch = newBatch();
    const take = (item: EncodedItem) => batch.add(item);
    const page = await transaction(
      pool,
      (client) => copyItems(client, datasetId, version, filter, { after: from, ...bounds }, take),
      { indexOrder: true },
    );
    return { ...page, batch };
  });
}

/**
 * How long a page that was read ahead may wait for its reader. When it is older, items on it may have been purged meanwhile by
 * a call that was answered; one that reads on at once cannot tell which was first.
 */
const staleMilliseconds = 200;

/**
 * Streams what `read` gives, page by page, without pages that have no items. The next page is read while the consumer works on
 * one, and no connection is held while it does. What is purged while a page waits for a slow consumer is not on it any more.
 */
async function* streamPages<P extends StreamedPage>(
  pool: Pool,
  { datasetId, after }: Pick<ItemRange, "datasetId" | "after">,
  read: (after: string | undefined) => Promise<P>,
): AsyncGenerator<P> {
  const readAhead = (from: string | undefined) => {
    const reading = (async () => {
      const purgeCount = await findPurgeCount(pool, datasetId);
      return { page: await read(from), purgeCount, readAt: performance.now() };
    })();
    // If the consumer leaves, nobody waits for a page that was read ahead.
    reading.catch(() => undefined);
    return reading;
  };
  let from = after;
  let next = readAhead(from);
  for (;;) {
    let { page, purgeCount, readAt } = await next;
    if (
      performance.now() - readAt > staleMilliseconds &&
      (await findPurgeCount(pool, datasetId)) !== purgeCount
    ) {
      page = await read(from);
    }
    if (page.through === undefined) return;
    from = page.through;
    if (!page.isLast) next = readAhead(from);
    yield page;
    if (page.isLast) return;
  }
}
