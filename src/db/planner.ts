import type { Client } from "./pool.ts";

/**
 * Plans what `work` runs with hash joins rather than nested loops, wherever there is a choice. Joins of what a write has
 * collected need it: the planner takes a fresh table, or an array that is unnested, for a handful of rows, and a nested loop
 * over two of them costs the product of their sizes. Look-ups by key, which are lateral, stay as they are. Runs within a
 * transaction.
 */
export async function withHashJoins<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return without(client, ["enable_nestloop"], work);
}

/**
 * Plans what `work` runs with indexes rather than passes over whole tables: for look-ups by block range, which the planner
 * takes for the more expensive way as long as a table has no statistics. Runs within a transaction.
 */
export async function withIndexes<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return without(client, ["enable_seqscan"], work);
}

/** Plans what `work` runs in the order of a key, so that a limit ends it early, rather than by sorting. Within a transaction. */
export async function inKeyOrder<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return without(client, ["enable_sort", "enable_seqscan", "enable_bitmapscan"], work);
}

async function without<T>(client: Client, ways: readonly string[], work: () => Promise<T>): Promise<T> {
  await client.query(ways.map((way) => `set local ${way} = off`).join("; "));
  const result = await work();
  await client.query(ways.map((way) => `set local ${way} = on`).join("; "));
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
