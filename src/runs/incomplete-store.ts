import type { Client } from "../db/pool.ts";
import type { IncompleteView } from "./incomplete-item.ts";
import type { RunScope } from "./run.ts";
import { coveredRevisions } from "./run-item-store.ts";

/** Consecutive items that a run covers, in the order of item_id. */
export interface ItemBlock {
  /** The id of the last one. */
  readonly through: string;
  readonly itemCount: number;
  /** Cells of these items that have a success. */
  readonly succeeded: number;
}

/**
 * Counts the next items after `after` and their successes. Each is counted along an index, without a join, so skipping a
 * finished block costs little more than reading it.
 */
export async function countBlock(
  client: Client,
  { datasetId, runId, datasetVersion, splits }: RunScope,
  after: string,
  maxItems: number,
): Promise<ItemBlock> {
  const { rows } = await client.query<{ through: string | null; item_count: bigint; succeeded: bigint }>(
    `with block as materialized (
       select revision.item_id from ${coveredRevisions} and revision.item_id > $5
       order by revision.item_id
       limit $6
     ), bounds as (
       select max(item_id) as through, count(*) as item_count from block
     )
     select through, item_count, (
       select count(*) from run_results
       where dataset_id = $1 and run_id = $4 and item_id > $5 and item_id <= bounds.through
         and superseded_by is null and output is not null
     ) as succeeded
     from bounds`,
    [datasetId, datasetVersion, splits, runId, after, maxItems],
  );
  const row = rows[0];
  return {
    through: row?.through ?? after,
    itemCount: Number(row?.item_count ?? 0n),
    succeeded: Number(row?.succeeded ?? 0n),
  };
}

/** An item that lacks a success, with the contents of its cells. */
export interface OpenItem {
  readonly itemId: string;
  readonly succeededRepetitions: readonly number[];
  readonly failedRepetitions: readonly number[];
  /** Approximate bytes on the wire; payloads count only if the view includes them. */
  readonly size: number;
}

/** The items to search. */
export interface IncompleteRange {
  /** After this item_id, up to and including `through`. */
  readonly after: string;
  readonly through: string;
  readonly limit: number;
  /** Determines whether payloads count towards sizes. */
  readonly view: IncompleteView;
}

/**
 * Lists the items in a range that lack a success, in ascending byte order of item_id: one look-up by key for each item of the
 * range. Purged items are left out, because nothing can be recorded for them.
 */
export async function listOpenItems(
  client: Client,
  { datasetId, runId, datasetVersion, splits, repetitions }: RunScope,
  { after, through, limit, view }: IncompleteRange,
): Promise<OpenItem[]> {
  const { rows } = await client.query<{
    item_id: string;
    size: number;
    succeeded: number[];
    failed: number[];
  }>(
    `select covered.*, cells.*
     from (
       select revision.item_id, 256 + 2 * octet_length(revision.item_id) + 3 * $7::int + ${view === "with_item" ? itemSize : "0"} as size
       from ${coveredRevisions} and revision.item_id > $5 and revision.item_id <= $6 and revision.input is not null
       order by revision.item_id
     ) as covered
     cross join lateral (
       select coalesce(array_agg(repetition order by repetition) filter (where output is not null), '{}') as succeeded,
              coalesce(array_agg(repetition order by repetition) filter (where output is null), '{}') as failed
       from run_results
       where dataset_id = $1 and run_id = $4 and item_id = covered.item_id and superseded_by is null
     ) as cells
     where cardinality(cells.succeeded) < $7
     order by covered.item_id
     limit $8`,
    [datasetId, datasetVersion, splits, runId, after, through, repetitions, limit],
  );
  return rows.map((row) => ({
    itemId: row.item_id,
    succeededRepetitions: row.succeeded,
    failedRepetitions: row.failed,
    size: row.size,
  }));
}

const itemSize = `
  coalesce(octet_length(revision.input), 0) + coalesce(octet_length(revision.expected_output), 0) + coalesce(octet_length(revision.metadata), 0)
  + octet_length(array_to_string(revision.splits, '')) + 4 * cardinality(revision.splits)`;
