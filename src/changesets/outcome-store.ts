import type { Client } from "../db/pool.ts";
import type { Changeset } from "./changeset.ts";
import type { RowKind } from "./row-classification.ts";

/** The outcome of one row, stored so that a repetition returns the first answer. */
export interface RowOutcome {
  readonly itemId: string;
  /** The effect of the row; for deletions, whether the item existed. */
  readonly kind: RowKind | "deleted" | "missing";
}

/** Stores the outcomes of a call's rows, in the order of the request. */
export async function insertRowOutcomes(
  client: Client,
  { datasetId, changesetId }: Changeset,
  outcomes: readonly RowOutcome[],
): Promise<void> {
  await client.query({
    name: "insert_row_outcomes",
    text: "update changesets set row_item_ids = $3, row_kinds = $4 where dataset_id = $1 and changeset_id = $2",
    values: [datasetId, changesetId, outcomes.map((one) => one.itemId), outcomes.map((one) => one.kind)],
  });
}

/** Returns the outcomes of a call's rows; an empty list for streams, whose answers do not include them. */
export async function listRowOutcomes(
  client: Client,
  { datasetId, changesetId }: Changeset,
): Promise<RowOutcome[]> {
  const { rows } = await client.query<{ item_id: string; kind: RowOutcome["kind"] }>(
    `select item_id, kind from changesets, unnest(row_item_ids, row_kinds) as outcome (item_id, kind)
     where dataset_id = $1 and changeset_id = $2`,
    [datasetId, changesetId],
  );
  return rows.map((row) => ({ itemId: row.item_id, kind: row.kind }));
}
