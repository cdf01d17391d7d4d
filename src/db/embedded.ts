import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Logger } from "../log.ts";
import { EmbeddedPostgres } from "./embedded-package.ts";

/** A PostgreSQL of this process. Disposing of it stops it and cuts open connections; the files stay. */
export interface EmbeddedDatabase extends AsyncDisposable {
  readonly url: string;
}

const asRoot = process.getuid?.() === 0;
const user = "itembank";
const database = "itembank";

/**
 * Settings for a machine that Postgres shares with the service. Buffers hold the working set of a dataset with a million
 * items; a long checkpoint interval lets bulk imports write each page once.
 */
const settings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  shared_buffers: "512MB",
  max_wal_size: "4GB",
  checkpoint_timeout: "15min",
  max_connections: "200",
  timezone: "UTC",
};

/**
 * Starts PostgreSQL on the files in `dataDir`, which are created on the first start, on a free port of loopback. As
 * root it runs under the user `postgres`, which is created if necessary.
 *
 * @throws Error if another service uses the directory, or PostgreSQL does not start
 */
export async function startEmbeddedDatabase(dataDir: string, log: Logger): Promise<EmbeddedDatabase> {
  const home = resolve(dataDir);
  const files = join(home, "postgres");
  await mkdir(home, { recursive: true });
  // The database then runs as another user, who must be able to reach its files.
  if (asRoot) {
    await chmod(home, 0o711);
    await requireReachable(home);
    await requireReachable(fileURLToPath(import.meta.url));
  }
  await claim(home);
  await stopOrphan(files, log);

  const password = await readPassword(home);
  const port = await freePort();
  const said: string[] = [];
  const postgres = new EmbeddedPostgres({
    databaseDir: files,
    user,
    password,
    port,
    persistent: true,
    createPostgresUser: asRoot,
    initdbFlags: ["--encoding=UTF8", "--locale=C", "--data-checksums"],
    postgresFlags: Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    onLog: (message) => {
      said.push(String(message));
      if (said.length > 100) said.shift();
      log.debug({ postgres: String(message).trimEnd() }, "embedded database");
    },
    onError: (error) => log.debug({ error: String(error) }, "embedded database"),
  });
  try {
    const initialised = await exists(join(files, "PG_VERSION"));
    if (!initialised) {
      // An interrupted first start leaves files that initdb would refuse.
      await rm(files, { recursive: true, force: true });
      await postgres.initialise();
    }
    await postgres.start();
    await createDatabase(postgres);
  } catch (error) {
    // Stopping a server that is gone already would wait forever.
    if (await postmasterOf(files)) await postgres.stop();
    await release(home);
    throw new Error(
      `the embedded PostgreSQL in ${files} did not start${error instanceof Error ? `: ${error.message}` : ""}\n${said.join("")}`,
      { cause: error },
    );
  }
  const postmaster = await postmasterOf(files);
  // A process that exits without stopping its database takes the database down with it.
  const stopAtExit = () => {
    if (postmaster !== undefined && isAlive(postmaster)) process.kill(postmaster, "SIGINT");
  };
  process.once("exit", stopAtExit);
  return {
    url: `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
    async [Symbol.asyncDispose]() {
      if (await postmasterOf(files)) await postgres.stop();
      process.removeListener("exit", stopAtExit);
      await release(home);
    },
  };
}

/** Verifies that the user of the database, who is neither root nor the owner, can reach a path. */
async function requireReachable(path: string): Promise<void> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) {
      throw new Error(
        `as root, the embedded PostgreSQL runs under the user postgres, who cannot enter ${folder} on the way to ${path}. Allow it (chmod o+x), set another directory, or run as another user.`,
      );
    }
    if (folder === dirname(folder)) return;
  }
}

/** Creates the database unless an earlier start has done so. */
async function createDatabase(postgres: InstanceType<typeof EmbeddedPostgres>): Promise<void> {
  const client = postgres.getPgClient("postgres", "127.0.0.1");
  await client.connect();
  try {
    const { rowCount } = await client.query("select from pg_database where datname = $1", [database]);
    if (rowCount === 0) await client.query(`create database ${database}`);
  } finally {
    await client.end();
  }
}

/** Claims the directory for this process. A dead process does not count. */
async function claim(home: string): Promise<void> {
  const file = join(home, "service.pid");
  const owner = Number(await readFile(file, "utf8").catch(() => ""));
  if (owner > 0 && owner !== process.pid && isAlive(owner)) {
    throw new Error(
      `${home} is in use by process ${owner}. Stop that service, or set ITEMBANK_DATA_DIR to another directory.`,
    );
  }
  await writeFile(file, String(process.pid));
}

async function release(home: string): Promise<void> {
  await rm(join(home, "service.pid"), { force: true });
}

/** Stops a PostgreSQL that outlived the service that started it: only that service knew its port. */
async function stopOrphan(files: string, log: Logger): Promise<void> {
  const pid = await postmasterOf(files);
  if (pid === undefined) return;
  log.info({ pid }, "stopping the embedded database of a dead service");
  process.kill(pid, "SIGINT");
  for (let waited = 0; waited < 30_000 && isAlive(pid); waited += 50) await sleep(50);
}

/** Returns the process that runs on these files, if it is alive. */
async function postmasterOf(files: string): Promise<number | undefined> {
  const text = await readFile(join(files, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number(text.split("\n")[0]);
  return pid > 0 && isAlive(pid) ? pid : undefined;
}

/** Returns the password of the database user: generated once, readable only by the owner of the directory. */
async function readPassword(home: string): Promise<string> {
  const file = join(home, "postgres.password");
  const known = await readFile(file, "utf8").catch(() => undefined);
  if (known !== undefined) return known.trim();
  const password = randomBytes(24).toString("base64url");
  await writeFile(file, password, { mode: 0o600 });
  await chmod(file, 0o600);
  return password;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, failed) => server.once("error", failed).listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === "string") throw new Error("the system assigned no port");
  return address.port;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // No such process, or one that we may not signal: then it is not a database we started.
    return false;
  }
}

async function exists(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    () => false,
  );
}
