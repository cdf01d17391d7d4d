import type { Pool } from "../db/pool.ts";
import type { Item } from "./item.ts";
import { type ItemFilter, listItems } from "./item-store.ts";

/** What one frame may hold. */
export interface FrameBounds {
  readonly items: number;
  readonly bytes: number;
}

/** Some items of a version, and where the next ones begin. */
export interface ItemPage {
  readonly items: readonly Item[];
  /** The last item_id. */
  readonly through: string;
}

/**
 * Streams the items of a version behind `after`, page by page. The next page is read while the consumer works on one, and no
 * connection is held while it does.
 */
export async function* streamItems(
  pool: Pool,
  datasetId: string,
  version: bigint,
  filter: ItemFilter,
  after: string | undefined,
  bounds: FrameBounds,
): AsyncGenerator<ItemPage> {
  const read = (from: string | undefined) => {
    const page = listItems(pool, datasetId, version, filter, { after: from, ...bounds });
    // If the consumer leaves, nobody waits for a page that was read ahead.
    page.catch(() => undefined);
    return page;
  };
  let next = read(after);
  for (;;) {
    const { items, isLast } = await next;
    const through = items.at(-1)?.itemId;
    if (through === undefined) return;
    if (!isLast) next = read(through);
    yield { items, through };
    if (isLast) return;
  }
}
