import type { Client } from "../db/pool.ts";
import type { Changeset } from "./changeset.ts";

/** A row that changes a purged item. */
export interface PurgedRow {
  readonly itemId: string;
  readonly rowNumber: bigint;
}

/** Finds the first revision of a changeset whose item was purged. */
export async function findPurgedRevision(
  client: Client,
  { datasetId, changesetId }: Changeset,
): Promise<PurgedRow | undefined> {
  // By key, starting from the few purged items rather than from the revisions, of which there may be millions.
  const { rows } = await client.query<{ item_id: string; row_number: bigint }>(
    `select revision.item_id, revision.row_number
     from purges
     cross join lateral (
       select item_id, row_number from item_revisions
       where dataset_id = $1 and item_id = purges.item_id and changeset_id = $2
       limit 1
     ) revision
     where purges.dataset_id = $1
     order by revision.row_number limit 1`,
    [datasetId, changesetId],
  );
  return rows[0] && { itemId: rows[0].item_id, rowNumber: rows[0].row_number };
}

/** Finds the first row without an id whose match changes the splits of a purged item. Call after `matchUnidentified`. */
export async function findPurgedMatch(
  client: Client,
  { datasetId, changesetId }: Changeset,
): Promise<PurgedRow | undefined> {
  const { rows } = await client.query<{ item_id: string; row_number: bigint }>(
    `select matched.item_id, revision.row_number
     from purges
     join matched on matched.item_id = purges.item_id and matched.new_splits <> matched.old_splits
     cross join lateral (
       select row_number from item_revisions
       where dataset_id = $1 and item_id = matched.assigned_id and changeset_id = $2
       limit 1
     ) revision
     where purges.dataset_id = $1
     order by revision.row_number limit 1`,
    [datasetId, changesetId],
  );
  return rows[0] && { itemId: rows[0].item_id, rowNumber: rows[0].row_number };
}
