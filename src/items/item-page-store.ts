import { CopiedColumns, copyBytes, literal } from "../db/copy-out.ts";
import type { Client } from "../db/pool.ts";
import { type EncodedItem, encodedColumns } from "./encoded-item.ts";
import type { Item } from "./item.ts";
import { type ItemRow, itemFromRow, keySize, payloadColumns, payloadSize } from "./item-store.ts";

/** Which items of a version to list. */
export interface ItemFilter {
  /** Keeps items in any of these splits; empty keeps all. */
  readonly splits: readonly string[];
  readonly keysOnly: boolean;
}

/** Bounds of a page. At least one item is on it, however large. */
export interface PageBounds {
  /** Items behind this item_id; undefined starts at the first. */
  readonly after: string | undefined;
  readonly items: number;
  /** Of payloads, ids and splits. */
  readonly bytes: number;
}

/** The greatest bigint: behind all revisions of an item, whatever wrote them. */
const pastAllRevisions = 2n ** 63n - 1n;

/** Where reading goes on: behind a revision of an item, which the version may show or not. */
export interface Place {
  readonly itemId: string;
  readonly changesetId: bigint;
}

/** What stands for the values in the statement: parameters, or literals where a statement takes none. */
interface PageValues {
  readonly datasetId: string;
  readonly version: string;
  readonly itemId: string;
  readonly changesetId: string;
  /** A text[]. */
  readonly splits: string;
  readonly limit: string;
  readonly bytes: string;
}

/**
 * Reads the next `limit` revisions along the primary key, and gives those among them that the version shows, as many as fit
 * into `bytes` and one that crosses the bound; and the last of all, to go on behind it.
 *
 * The limit stands below the look-up of changesets, so the key is read in its order and no further than that, given that the
 * statement is planned in index order: the planner would not read a table without statistics so by itself. Sizes are summed up
 * before payloads are read, so that a page of large items costs no more memory than one of small items.
 */
function pageStatement(keysOnly: boolean, $: PageValues): string {
  const shown = columns.map((name) => {
    if (!payloads.has(name)) return name;
    return keysOnly ? `null::text as ${name}` : `case when fits then ${name} end as ${name}`;
  });
  return `
    select ${shown.join(", ")}
    from (
      select *, version is not null and bytes - size <= ${$.bytes} as fits
      from (
        select revision.item_id, revision.changeset_id, revision.splits, revision.content_hash, changeset.version,
               coalesce(origin.publish_time, changeset.publish_time) as create_time,
               changeset.publish_time as update_time, revision.input is null as purged, revision.size,
               ${payloadColumns},
               sum(case when changeset.version is null then 0 else revision.size end) over along_key as bytes,
               row_number() over along_key = ${$.limit} as is_last
        from (
          select revision.*, ${keySize} + ${keysOnly ? "0" : `coalesce(${payloadSize}, 0)`} as size
          from item_revisions revision
          where dataset_id = ${$.datasetId} and (item_id, changeset_id) > (${$.itemId}, ${$.changesetId})
            and (superseded_at is null or superseded_at > ${$.version})
            and (cardinality(${$.splits}) = 0 or splits && ${$.splits})
          order by item_id, changeset_id
          limit ${$.limit}
        ) revision
        left join lateral (
          ${changesetOf($, "revision.changeset_id", "version, publish_time")}
        ) changeset on true
        left join lateral (
          ${changesetOf($, "revision.origin_changeset_id", "publish_time")}
        ) origin on true
        window along_key as (order by revision.item_id, revision.changeset_id rows unbounded preceding)
      ) summed
    ) bounded
    where fits or is_last`;
}

/**
 * Looks a changeset of the version or of one before it up by its key. Four indexes begin with dataset_id, and to the planner all
 * are alike as long as the table is small or without statistics; only the key gives the order that is asked for here, and in
 * index order it does not sort.
 */
function changesetOf({ datasetId, version }: PageValues, changesetId: string, columns: string): string {
  return `select ${columns} from changesets
          where dataset_id = ${datasetId} and changeset_id >= ${changesetId} and changeset_id <= ${changesetId}
            and version <= ${version}
          order by changeset_id
          limit 1`;
}

/** What the statement gives, in this order: those of an item, and what filling a page takes. */
const columns = [...encodedColumns, "changeset_id", "fits", "size", "is_last"] as const;
type Column = (typeof columns)[number];

const columnNumbers = Object.fromEntries(columns.map((name, number) => [name, number])) as Readonly<
  Record<Column, number>
>;

const payloads: ReadonlySet<Column> = new Set(["input", "expected_output", "metadata"]);

const parameters: PageValues = {
  datasetId: "$1",
  version: "$2::bigint",
  itemId: "$3::text",
  changesetId: "$4::bigint",
  splits: "$5::text[]",
  limit: "$6::bigint",
  bytes: "$7::bigint",
};

/**
 * Fills a page with what `read` finds, which may have to look several times where a version does not show much of what is
 * there. At least one item is on the page, however large. Returns whether nothing is behind it.
 *
 * @param read looks at the next revisions and calls `accept` with the size of each that the version shows, until that says
 * that the page is full. Returns where to go on: undefined if there is nothing behind, or if the page is full.
 */
async function fillPage(
  { after, items, bytes }: PageBounds,
  read: (
    behind: Place,
    limit: number,
    bytes: number,
    accept: (size: number) => boolean,
  ) => Promise<Place | undefined>,
): Promise<boolean> {
  let count = 0;
  let used = 0;
  let isFull = false;
  const accept = (size: number) => {
    isFull = count === items || (count > 0 && used + size > bytes);
    if (isFull) return false;
    count++;
    used += size;
    return true;
  };
  let place: Place | undefined = placeBehind(after);
  // One item beyond the page tells whether there is another.
  for (let limit = items + 1; place !== undefined; limit = Math.max(items + 1 - count, furtherRevisions)) {
    place = await read(place, limit, Math.max(bytes - used, 0), accept);
  }
  return !isFull;
}

/** How many revisions are looked at where the first ones did not fill the page: they are not shown, so they cost little. */
const furtherRevisions = 1_000;

type PageRow = ItemRow & { changeset_id: bigint; fits: boolean; size: number; is_last: boolean };

/**
 * A page of a version, in ascending byte order of item_id. `isLast` if nothing is behind it. Run it in a transaction in index
 * order.
 */
export async function listItems(
  client: Client,
  datasetId: string,
  version: bigint,
  { splits, keysOnly }: ItemFilter,
  bounds: PageBounds,
): Promise<{ items: Item[]; isLast: boolean }> {
  const items: Item[] = [];
  const isLast = await fillPage(bounds, async ({ itemId, changesetId }, limit, bytes, accept) => {
    const { rows } = await client.query<PageRow>({
      name: keysOnly ? "list_item_keys" : "list_items",
      text: pageStatement(keysOnly, parameters),
      values: [datasetId, version, itemId, changesetId, splits, limit, bytes],
    });
    for (const row of rows) {
      if (!row.fits) continue;
      if (!accept(row.size)) return undefined;
      items.push(itemFromRow(row));
    }
    const last = rows.at(-1);
    return last?.is_last ? { itemId: last.item_id, changesetId: last.changeset_id } : undefined;
  });
  return { items, isLast };
}

/** The place in front of all items, or behind one. */
export function placeBehind(itemId: string | undefined): Place {
  return { itemId: itemId ?? "", changesetId: pastAllRevisions };
}

/**
 * Reads on along a version by COPY, without turning anything into values: looks at `limit` revisions, and gives those of them
 * that the version shows, up to about `bytes` and one item at least. Run it in a transaction in index order.
 */
export async function copyItems(
  client: Client,
  datasetId: string,
  version: bigint,
  { splits, keysOnly }: ItemFilter,
  { behind, limit, bytes }: { readonly behind: Place; readonly limit: number; readonly bytes: number },
): Promise<CopiedItems> {
  const statement = pageStatement(keysOnly, {
    datasetId: literal(datasetId),
    version: `${version}::bigint`,
    itemId: literal(behind.itemId),
    changesetId: `${behind.changesetId}::bigint`,
    splits: `array[${splits.map(literal).join(", ")}]::text[]`,
    limit: `${limit}::bigint`,
    bytes: `${bytes}::bigint`,
  });
  return new CopiedItems(await copyBytes(client, statement), bytes);
}

/** Items as the database sent them. */
export class CopiedItems {
  /** Where to read on; undefined if there is nothing behind. */
  readonly rest: Place | undefined;
  /** Bytes of an item, on average; 0 without items. */
  readonly averageSize: number;
  readonly #row: CopiedColumns;
  #itemStart = 0;
  #itemLength = 0;

  constructor(buffer: Buffer, bytes: number) {
    this.#row = new CopiedColumns(buffer, columns.length);
    const { rest, averageSize } = measure(new CopiedColumns(buffer, columns.length), bytes);
    this.rest = rest;
    this.averageSize = averageSize;
  }

  /** Goes to the next item; false behind the last one. */
  next(): boolean {
    this.#itemStart = this.#row.starts[columnNumbers.item_id] as number;
    this.#itemLength = this.#row.lengths[columnNumbers.item_id] as number;
    while (this.#row.next()) if (isTrue(this.#row, "fits")) return true;
    return false;
  }

  /** The present item, valid until the next one. */
  get item(): EncodedItem {
    return this.#row;
  }

  /** The item_id of the item before the present one, or of the last one where none is present. */
  get itemIdBefore(): string {
    return this.#row.buffer.toString("utf8", this.#itemStart, this.#itemStart + this.#itemLength);
  }

  /** Bytes of its payloads, id and splits. */
  get size(): number {
    return sizeOf(this.#row);
  }
}

/** Where it goes on behind all rows: behind the last that was looked at or, if not all of them did fit, that did. */
function measure(
  row: CopiedColumns,
  bytes: number,
): { readonly rest: Place | undefined; readonly averageSize: number } {
  let count = 0;
  let used = 0;
  let rest: Place | undefined;
  while (row.next() && rest === undefined) {
    if (isTrue(row, "fits")) {
      count++;
      used += sizeOf(row);
      // The row that crosses the bound is the last that fits.
      if (used > bytes) rest = placeBehind(idOf(row));
    }
    if (rest === undefined && isTrue(row, "is_last")) {
      const changesetId = row.buffer.readBigInt64BE(row.starts[columnNumbers.changeset_id]);
      rest = { itemId: idOf(row), changesetId };
    }
  }
  return { rest, averageSize: count === 0 ? 0 : used / count };
}

const isTrue = ({ buffer, starts }: CopiedColumns, column: "fits" | "is_last") =>
  buffer[starts[columnNumbers[column]] as number] === 1;

const sizeOf = ({ buffer, starts }: CopiedColumns) => buffer.readInt32BE(starts[columnNumbers.size]);

function idOf({ buffer, starts, lengths }: CopiedColumns): string {
  const start = starts[columnNumbers.item_id] as number;
  return buffer.toString("utf8", start, start + (lengths[columnNumbers.item_id] as number));
}
