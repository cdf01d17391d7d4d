import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import pg from "pg";

/** A service in a separate process, with an embedded database in a directory that is deleted when it closes. */
export interface BenchService {
  readonly url: string;
  /** Its data directory. */
  readonly directory: string;
  /** A connection to its database, to compare with. */
  readonly database: pg.Client;
  /** Returns the peak resident memory of the service so far, in MiB; 0 where the system does not report it. */
  peakMemory(): Promise<number>;
  close(): Promise<void>;
}

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

export async function startBenchService(): Promise<BenchService> {
  const directory = await mkdtemp(join(tmpdir(), "itembank-bench-"));
  const child = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      ITEMBANK_LISTEN: "127.0.0.1:0",
      ITEMBANK_DATA_DIR: directory,
      ITEMBANK_LOG_LEVEL: "warn",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = `http://${await addressOf(child)}`;
  const database = await connect(directory);
  return {
    url,
    directory,
    database,
    async peakMemory() {
      const status = await readFile(`/proc/${child.pid}/status`, "utf8").catch(() => "");
      return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
    },
    async close() {
      await database.end();
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function addressOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error("the service has no standard output");
  for await (const line of createInterface({ input: stdout })) {
    const address = /listens on (\S+?),? /.exec(line)?.[1];
    if (address !== undefined) return address;
  }
  throw new Error("the service did not start");
}

/** Connects to the embedded database as the service does, with the port and password from its files. */
async function connect(directory: string): Promise<pg.Client> {
  const [, , , port] = (await readFile(join(directory, "postgres", "postmaster.pid"), "utf8")).split("\n");
  const password = await readFile(join(directory, "postgres.password"), "utf8");
  const client = new pg.Client({
    host: "127.0.0.1",
    port: Number(port),
    user: "itembank",
    password,
    database: "itembank",
  });
  await client.connect();
  return client;
}
