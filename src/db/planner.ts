import type { Client } from "./pool.ts";

/**
 * Plans what `work` runs with hash joins rather than nested loops, wherever there is a choice. Joins of what a write has
 * collected need it: the planner takes a fresh table, or an array that is unnested, for a handful of rows, and a nested loop
 * over two of them costs the product of their sizes. Look-ups by key, which are lateral, stay as they are. Runs within a
 * transaction.
 */
export async function withHashJoins<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return under(client, { enable_nestloop: "off" }, work);
}

/**
 * Plans what `work` runs with indexes rather than passes over whole tables, and without starting workers, which takes longer
 * than most look-ups: for what is found by block ranges, which the planner takes for the more expensive way as long as a
 * table has no statistics. Runs within a transaction.
 */
export async function withIndexes<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return under(client, { enable_seqscan: "off", max_parallel_workers_per_gather: "0" }, work);
}

/**
 * Plans what `work` runs by reading along indexes rather than sorting what was found, wherever there is a choice. Pages in the
 * order of a key need it: the planner expects a handful of rows of a fresh table, fetches all that are behind the page and
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

/** Runs `work` under settings of the planner, which then are what the connection had before. */
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
