import type { CopiedColumns } from "../db/copied-columns.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import type { Item } from "./item.ts";
import { copyItems, cursorAfter, listItems, type PageBounds, type VersionItems } from "./item-page-store.ts";
import type { Provenance } from "./publications.ts";
import { cutFrames, type ReadSize, streamPages } from "./stream-pages.ts";

/** Bounds of a frame. */
export type FrameBounds = Omit<PageBounds, "after">;

/** The items to read, and where to begin. */
export interface ItemRange extends VersionItems {
  /** Items after this item_id; undefined starts at the first. */
  readonly after: string | undefined;
}

/** Returns a page of a version, in ascending byte order of item_id. `isLast` if nothing follows. */
export async function readPage(
  pool: Pool,
  { after, ...items }: ItemRange,
  bounds: FrameBounds,
): Promise<{ readonly items: readonly Item[]; readonly isLast: boolean }> {
  return transaction(pool, (client) => listItems(client, items, { after, ...bounds }), { indexOrder: true });
}

/** Streams the items of a version, page by page. */
export function streamItems(
  pool: Pool,
  range: ItemRange,
  bounds: FrameBounds,
): AsyncGenerator<{ readonly items: readonly Item[] }> {
  return streamPages(pool, range.datasetId, range.after, {
    async read(after) {
      const { items, isLast } = await readPage(pool, { ...range, after }, bounds);
      return { items, rest: isLast ? undefined : items.at(-1)?.itemId, averageSize: 0 };
    },
    *frames({ items }) {
      if (items.length > 0) yield { frame: { items }, through: items.at(-1)?.itemId };
    },
  });
}

/** Collects the items of a frame as they arrive. */
interface ItemBatch {
  begin(): void;
  add(item: CopiedColumns, provenance: Provenance): void;
}

/**
 * The same at the speed of the database, with undecoded items. Yields the item_id of the last item of each frame.
 *
 * @param batch collects the items of a frame: it holds those of the frame that was yielded last.
 */
export function streamBatches(
  pool: Pool,
  { after, ...range }: ItemRange,
  frameSize: ReadSize,
  batch: ItemBatch,
): AsyncGenerator<string> {
  // Memory of pages that have been passed on, for the next reads.
  const spare: Buffer[] = [];
  return streamPages(pool, range.datasetId, cursorAfter(after), {
    read: (behind, size) => copyItems(pool, range, { behind, ...size }, spare.pop()),
    *frames(items) {
      yield* cutFrames(items, frameSize, {
        begin: () => batch.begin(),
        add: () => batch.add(items.item, items.provenance),
        end: () => ({ frame: items.itemIdBefore, through: cursorAfter(items.itemIdBefore) }),
      });
      spare.push(items.memory);
    },
  });
}
