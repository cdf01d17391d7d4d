import { readdir, readFile } from "node:fs/promises";
import type { Client, Pool } from "./pool.ts";

const directory = new URL("../../migrations/", import.meta.url);

/** Any constant that nothing else in the database uses. */
const advisoryLock = 7_274_839_120_001n;

/** The database was migrated by a newer release than this one. */
export class NewerDatabaseError extends Error {
  override readonly name = "NewerDatabaseError";
}

/** The oldest PostgreSQL that the migrations run on: it introduced `unique nulls not distinct`. */
const oldestRelease = 15;

/** The database is older than the service requires. */
export class OldDatabaseError extends Error {
  override readonly name = "OldDatabaseError";
}

/**
 * Verifies that a server is new enough.
 *
 * @param versionNumber PostgreSQL's server_version_num, such as 150018.
 * @throws OldDatabaseError if it is older than PostgreSQL 15
 */
export function requireSupportedRelease(versionNumber: number): void {
  const release = Math.floor(versionNumber / 10_000);
  if (release >= oldestRelease) return;
  throw new OldDatabaseError(
    `the database is PostgreSQL ${release}; Itembank needs PostgreSQL ${oldestRelease} or newer`,
  );
}

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/**
 * Migrates the database to this release and returns the names of the migrations that ran. Any number of processes may
 * call it at once: one works, the others wait and find nothing to do. Each migration commits on its own, so an
 * interrupted upgrade resumes where it stopped.
 *
 * @throws NewerDatabaseError if the database has a migration that this release does not know; OldDatabaseError if its
 * PostgreSQL is too old
 */
export async function migrate(pool: Pool): Promise<string[]> {
  const migrations = await readMigrations();
  const client = await pool.connect();
  try {
    await client.query("select pg_advisory_lock($1)", [advisoryLock]);
    try {
      return await runMissing(client, migrations);
    } finally {
      await client.query("select pg_advisory_unlock($1)", [advisoryLock]);
    }
  } finally {
    client.release();
  }
}

async function runMissing(client: Client, migrations: readonly Migration[]): Promise<string[]> {
  const release = await client.query<{ number: number }>(
    "select current_setting('server_version_num')::integer as number",
  );
  requireSupportedRelease(release.rows[0]?.number ?? 0);
  await client.query(
    `create table if not exists migrations (
       number integer primary key,
       name text not null,
       run_time timestamptz not null default now()
     )`,
  );
  const { rows } = await client.query<{ number: number; name: string }>(
    "select number, name from migrations order by number",
  );
  const known = new Set(migrations.map((one) => one.number));
  const unknown = rows.filter((row) => !known.has(row.number));
  if (unknown.length > 0) {
    throw new NewerDatabaseError(
      `the database was migrated by a newer release (it has ${unknown.map((one) => one.name).join(", ")}); run that release`,
    );
  }
  const done = new Set(rows.map((row) => row.number));
  const ran: string[] = [];
  for (const migration of migrations) {
    if (done.has(migration.number)) continue;
    await client.query("begin");
    try {
      await client.query(migration.sql);
      await client.query("insert into migrations (number, name) values ($1, $2)", [
        migration.number,
        migration.name,
      ]);
      await client.query("commit");
    } catch (error) {
      await client.query("rollback");
      throw error;
    }
    ran.push(migration.name);
  }
  return ran;
}

/** The migrations of this release, in order: files named like `0001_datasets.sql`. */
async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort();
  return Promise.all(
    names.map(async (name) => ({
      number: Number(name.slice(0, 4)),
      name: name.slice(0, -".sql".length),
      sql: await readFile(new URL(name, directory), "utf8"),
    })),
  );
}
