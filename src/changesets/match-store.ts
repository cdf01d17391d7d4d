import { withHashJoins } from "../db/planner.ts";
import type { Client } from "../db/pool.ts";
import { assignedItemId } from "../ids.ts";
import type { Changeset } from "./changeset.ts";

/** A row without an id, and the item that it stands for. */
export interface Match {
  /** The id under which the row was kept. */
  readonly assignedId: string;
  readonly itemId: string;
  readonly contentHash: Uint8Array;
  /** The splits the row came with, those the item has, and those it will have. */
  readonly stagedSplits: readonly string[];
  readonly oldSplits: readonly string[];
  readonly newSplits: readonly string[];
}

/** Rows read at a time: enough to make round trips cheap, few enough to keep memory flat. */
const pageSize = 5_000;

/**
 * Matches the rows without an id with items of the head version, for the rest of the transaction, and says how many there
 * are. Matching is by content hash, as a multiset: the first such row with the first such item that no row with an id stands
 * for, and so on; items with assigned ids come before others, and both in order of item_id. Rows of one content are ordered
 * by their splits, so that the order in which rows were sent never matters.
 */
export async function matchUnidentified(
  client: Client,
  { datasetId, changesetId, itemIdPrefix }: Changeset,
  headVersion: bigint,
): Promise<{ updated: bigint; unchanged: bigint }> {
  // The one place that looks at all items of a dataset for a few rows. An index by hash would make it cheap, and every
  // import half as fast.
  await withHashJoins(client, () =>
    client.query(
      `create temporary table matched on commit drop as
     with staged as (
       select item_id, content_hash, splits, keeps_splits,
              row_number() over (partition by content_hash order by splits, keeps_splits, item_id) as place
       from item_revisions
       where dataset_id = $1 and item_id >= $3 and item_id < $3 || '~' and changeset_id = $2
     ), seen as materialized (
       select unnest(item_ids) as item_id from changeset_seen where dataset_id = $1 and changeset_id = $2
     ), live as (
       select revision.item_id, revision.content_hash, revision.splits,
              coalesce(revision.origin_changeset_id, revision.changeset_id) as origin_changeset_id,
              row_number() over (
                partition by revision.content_hash
                order by revision.item_id !~ '${assignedItemId.source}', revision.item_id) as place
       from item_revisions revision
       join changesets changeset
         on changeset.dataset_id = revision.dataset_id and changeset.changeset_id = revision.changeset_id
       where revision.dataset_id = $1 and revision.superseded_at is null and changeset.version <= $4
         and revision.content_hash in (select content_hash from staged)
         and not exists (select from seen where seen.item_id = revision.item_id)
     )
     select staged.item_id as assigned_id, live.item_id, live.origin_changeset_id, content_hash,
            staged.splits as staged_splits, live.splits as old_splits,
            case when staged.keeps_splits then live.splits else staged.splits end as new_splits
     from staged join live using (content_hash, place)`,
      [datasetId, changesetId, itemIdPrefix, headVersion],
    ),
  );
  const { rows } = await client.query<{ updated: bigint; unchanged: bigint }>(
    `select count(*) filter (where new_splits <> old_splits) as updated,
            count(*) filter (where new_splits = old_splits) as unchanged
     from matched`,
  );
  return rows[0] ?? { updated: 0n, unchanged: 0n };
}

/** Streams the matches, page by page. */
export async function* streamMatches(client: Client): AsyncGenerator<Match[]> {
  await client.query("declare matches no scroll cursor for select * from matched");
  for (;;) {
    const { rows } = await client.query<{
      assigned_id: string;
      item_id: string;
      content_hash: Buffer;
      staged_splits: string[];
      old_splits: string[];
      new_splits: string[];
    }>(`fetch ${pageSize} from matches`);
    if (rows.length === 0) break;
    yield rows.map((row) => ({
      assignedId: row.assigned_id,
      itemId: row.item_id,
      contentHash: row.content_hash,
      stagedSplits: row.staged_splits,
      oldSplits: row.old_splits,
      newSplits: row.new_splits,
    }));
  }
  await client.query("close matches");
}

/** Lets matched rows stand for their items: revisions that change nothing go, the others move to the item's id. */
export async function applyMatches(client: Client, { datasetId, changesetId }: Changeset): Promise<void> {
  const changeset = [datasetId, changesetId];
  // Both go through the rows of the changeset and those that matched: a nested loop costs the product of the two.
  await withHashJoins(client, async () => {
    await client.query(
      `delete from item_revisions revision using matched
       where revision.dataset_id = $1 and revision.item_id = matched.assigned_id and revision.changeset_id = $2
         and matched.new_splits = matched.old_splits`,
      changeset,
    );
    await client.query(
      `update item_revisions revision
       set item_id = matched.item_id, splits = matched.new_splits, origin_changeset_id = matched.origin_changeset_id
       from matched
       where revision.dataset_id = $1 and revision.item_id = matched.assigned_id and revision.changeset_id = $2
         and matched.new_splits <> matched.old_splits`,
      changeset,
    );
  });
  // Matched items count as seen from here on, as if the rows had come with their ids. Numbers of rows do not matter any more.
  await client.query(
    `insert into changeset_seen (dataset_id, changeset_id, item_ids, row_numbers, lowest_item_id, highest_item_id, changed,
                                 keeps_splits)
     select $1, $2, array_agg(item_id), array_agg(0::bigint), min(item_id), max(item_id), new_splits <> old_splits, false
     from matched group by new_splits <> old_splits`,
    changeset,
  );
}

/** Which item each row without an id stands for, by its assigned id. Only for writes of few rows. */
export async function listMatches(
  client: Client,
): Promise<Map<string, { itemId: string; changed: boolean }>> {
  const { rows } = await client.query<{ assigned_id: string; item_id: string; changed: boolean }>(
    `select assigned_id, item_id, new_splits <> old_splits as changed from matched`,
  );
  return new Map(rows.map((row) => [row.assigned_id, { itemId: row.item_id, changed: row.changed }]));
}
