import type { Client, Pool } from "./pool.ts";

/**
 * Runs `work` in one transaction (read committed) on a connection that is closed if anything fails: an interrupted COPY
 * would have to be read to its end before the connection could be reused. Never retries.
 */
export async function streamingTransaction<T>(pool: Pool, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const result = await work(client);
    await client.query("commit");
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}
