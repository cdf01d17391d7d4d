import type { Client } from "../db/pool.ts";

/**
 * Locks revisions against others who sum up or vacuum them, whom nobody waits for.
 *
 * @throws an error that `databaseFault` takes for `locked` if somebody is at it. Waiting would make PostgreSQL give up its own
 * vacuuming of the table, round after round.
 */
export async function lockBlockRanges(client: Client): Promise<void> {
  await client.query("lock table item_revisions in share update exclusive mode nowait");
}

/** Sums up the block ranges that were filled since the last time, and says how many. */
export async function sumUpBlockRanges(client: Client): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    "select brin_summarize_new_values('item_revisions_by_changeset') as count",
  );
  return rows[0]?.count ?? 0;
}
