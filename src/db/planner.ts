import type { Client } from "./pool.ts";

/**
 * Plans what `work` runs with hash joins rather than nested loops, wherever there is a choice. Joins of what a write has
 * collected need it: the planner takes a fresh table, or an array that is unnested, for a handful of rows, and a nested loop
 * over two of them costs the product of their sizes. Look-ups by key, which are lateral, stay as they are. Runs within a
 * transaction.
 */
export async function withHashJoins<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query("set local enable_nestloop = off");
  const result = await work();
  await client.query("set local enable_nestloop = on");
  return result;
}

/**
 * Plans what `work` runs by reading along indexes rather than sorting what was found, wherever there is a choice. Pages in the
 * order of a key need it: the planner expects a handful of rows of a fresh table, fetches all that are behind the page and
 * sorts them, for every page again. Runs within a transaction.
 */
export async function withIndexOrder<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query("set local enable_sort = off; set local enable_bitmapscan = off");
  const result = await work();
  await client.query("set local enable_sort = on; set local enable_bitmapscan = on");
  return result;
}
