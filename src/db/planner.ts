import type { Client } from "./pool.ts";

/**
 * Plans the statements of `work` with hash joins rather than nested loops, wherever there is a choice. Joins of rows
 * that a write has collected need it: the planner expects a handful of rows of a fresh table, or of an unnested array,
 * and a nested loop over two of them costs the product of their sizes. Look-ups by key, which are lateral, stay as they
 * are. Runs within a transaction.
 */
export async function withHashJoins<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return under(client, { enable_nestloop: "off" }, work);
}

/**
 * Plans the statements of `work` with indexes rather than scans of whole tables, and without starting workers, which
 * takes longer than most look-ups: for look-ups by block ranges, which the planner rates as more expensive as long as a
 * table has no statistics. Runs within a transaction.
 */
export async function withIndexes<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return under(client, { enable_seqscan: "off", max_parallel_workers_per_gather: "0" }, work);
}

/**
 * Plans the statements of `work` with scans along indexes rather than sorts, wherever there is a choice. Pages in the
 * order of a key need it: the planner expects a handful of rows of a fresh table, fetches all rows after the page and
 * sorts them, for every page again. Runs within a transaction.
 */
export async function withIndexOrder<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return under(client, indexOrder, work);
}

const indexOrder = { enable_sort: "off", enable_bitmapscan: "off" };

/** The settings of `withIndexOrder`, for the rest of a transaction. */
export const setIndexOrder = settingsOf(indexOrder);

function settingsOf(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `set local ${name} = ${value}`)
    .join("; ");
}

/** Runs `work` with these settings of the planner, and then restores the defaults of the connection. */
async function under<T>(
  client: Client,
  settings: Readonly<Record<string, string>>,
  work: () => Promise<T>,
): Promise<T> {
  const names = Object.keys(settings);
  await client.query(settingsOf(settings));
  const result = await work();
  await client.query(names.map((name) => `set local ${name} to default`).join("; "));
  return result;
}
