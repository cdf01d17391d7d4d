import type { Client } from "./pool.ts";

/**
 * Settings that keep the planner from plans that cost as much as a dataset is large. Why, and what they were measured to do, is in
 * “Planner idioms” in docs/storage.md. All of them need a transaction.
 */

/**
 * Plans the statements of `work` with hash joins rather than nested loops, wherever there is a choice: for joins of rows that a
 * write has collected. Lateral look-ups by key stay as they are.
 */
export async function withHashJoins<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return under(client, { enable_nestloop: "off" }, work);
}

/** Plans the statements of `work` with indexes rather than scans of whole tables: for look-ups by block ranges. */
export async function withIndexes<T>(client: Client, work: () => Promise<T>): Promise<T> {
  return under(client, { enable_seqscan: "off", max_parallel_workers_per_gather: "0" }, work);
}

/** Plans the statements of `work` with scans along indexes rather than sorts: for pages in the order of a key. */
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
