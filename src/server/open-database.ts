import type { Config } from "../config.ts";
import { startEmbeddedDatabase } from "../db/embedded.ts";
import { getServerVersion, newPool, type Pool } from "../db/pool.ts";
import type { Logger } from "../log.ts";
import { atMost } from "./at-most.ts";

/** How long to wait for statements that still run; stopping the embedded database ends them. */
const poolMilliseconds = 1_000;

/**
 * How long the embedded database gets. Mostly it needs a tenth of a second; after large imports it has buffers to write first,
 * and what is not written then is recovered from its log on the next start.
 */
const embeddedMilliseconds = 10_000;

/** Settings that say which database is used, and how. */
export type DatabaseConfig = Pick<Config, "databaseUrl" | "dataDir" | "databaseConnections">;

/** Connections to a database, and the database itself if it is the embedded one. */
export interface Database extends AsyncDisposable {
  readonly pool: Pool;
}

/**
 * Starts the embedded database unless the configuration names another. Connections are opened when they are needed.
 *
 * @throws Error if the embedded database does not start. Nothing is left open then.
 */
export async function openDatabase(
  { databaseUrl, dataDir, databaseConnections }: DatabaseConfig,
  log: Logger,
): Promise<Database> {
  const stack = new AsyncDisposableStack();
  let url = databaseUrl;
  if (url === undefined) {
    const embedded = await startEmbeddedDatabase(dataDir, log);
    stack.defer(() => atMost(embeddedMilliseconds, embedded[Symbol.asyncDispose]()));
    ({ url } = embedded);
  }
  const pool = newPool({ url, connections: databaseConnections, log });
  // Waits for connections in use; a statement that never ends must not keep the service from stopping.
  stack.defer(() => atMost(poolMilliseconds, pool.end()));
  return { pool, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Which database that is, without credentials: `embedded PostgreSQL 18 in .itembank`. @throws Error if it does not answer */
export async function describeDatabase(
  pool: Pool,
  { databaseUrl, dataDir }: DatabaseConfig,
): Promise<string> {
  const release = /^\d+/.exec(await getServerVersion(pool))?.[0] ?? "";
  if (databaseUrl === undefined) return `embedded PostgreSQL ${release} in ${dataDir}`;
  const { host, pathname } = new URL(databaseUrl);
  return `PostgreSQL ${release} at ${host}${decodeURIComponent(pathname)}`;
}
