import type { Client } from "../db/pool.ts";

/**
 * Locks revisions against other summarizing or vacuuming, without waiting.
 *
 * @throws an error that `databaseFault` classifies as `locked` if another is in progress. Waiting would make PostgreSQL
 * give up its own vacuuming of the table, round after round.
 */
export async function lockBlockRanges(client: Client): Promise<void> {
  await client.query("lock table item_revisions in share update exclusive mode nowait");
}

/** Summarizes the block ranges that were filled since the last time. Returns their number. */
export async function sumUpBlockRanges(client: Client): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    "select brin_summarize_new_values('item_revisions_by_changeset') as count",
  );
  return rows[0]?.count ?? 0;
}
