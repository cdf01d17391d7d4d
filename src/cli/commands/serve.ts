import type { Command } from "commander";
import { type Act, newCommand } from "../action.ts";
import type { Cli } from "../context.ts";
import { CommandError } from "../exit-code.ts";

interface ServeOptions {
  readonly listen?: string;
  readonly database?: string;
  readonly dataDir?: string;
}

/** Options that stand for settings, and the settings. */
const settings = {
  listen: "ITEMBANK_LISTEN",
  database: "ITEMBANK_DATABASE_URL",
  dataDir: "ITEMBANK_DATA_DIR",
} as const;

function withDatabase(command: Command): Command {
  return command
    .option("--database <url>", "a PostgreSQL; ITEMBANK_DATABASE_URL unless set, else an embedded one")
    .option(
      "--data-dir <folder>",
      "where the embedded one is kept; ITEMBANK_DATA_DIR unless set, else .itembank",
    );
}

/** `itembank serve`: the service, until a signal ends it. */
export function serveCommand(act: Act): Command {
  return withDatabase(
    newCommand(
      "serve",
      "run the service until Ctrl-C; docs/operations.md has all settings",
      "serve --listen 127.0.0.1:50051",
    ),
  )
    .option("--listen <address>", "where to listen; ITEMBANK_LISTEN unless set, else 127.0.0.1:50051")
    .action(act(serve));
}

/** `itembank migrate`: brings a database up to this release. */
export function migrateCommand(act: Act): Command {
  return withDatabase(
    newCommand(
      "migrate",
      "bring a database up to this release, which `serve` does as well",
      "migrate --database postgres://itembank@db/itembank",
    ),
  ).action(act(migrateDatabase));
}

/** `itembank demo`: what the service does, shown on a sample. */
export function demoCommand(act: Act): Command {
  return newCommand(
    "demo",
    "show what the service does, on a sample and an embedded database",
    "demo",
  ).action(act(demo));
}

function setEnvironment(options: ServeOptions): void {
  for (const [option, variable] of Object.entries(settings)) {
    const value = options[option as keyof ServeOptions];
    if (value !== undefined) process.env[variable] = value;
  }
}

/** What runs on has signal handlers of its own, and ends the process. */
const forever = new Promise<never>(() => undefined);

async function serve(_: Cli, options: ServeOptions): Promise<never> {
  setEnvironment(options);
  await import("../../main.ts");
  return forever;
}

async function demo(): Promise<never> {
  await import("../../../examples/demo/main.ts");
  return forever;
}

async function migrateDatabase(cli: Cli, options: ServeOptions): Promise<undefined> {
  setEnvironment(options);
  // What only this command needs takes a while to load.
  const [{ readConfig }, { newLog }, { startEmbeddedDatabase }, { newPool }, { migrate }] = await Promise.all(
    [
      import("../../config.ts"),
      import("../../log.ts"),
      import("../../db/embedded.ts"),
      import("../../db/pool.ts"),
      import("../../db/migrate.ts"),
    ],
  );
  const { databaseUrl, dataDir, logLevel } = readConfig(process.env);
  const log = newLog(logLevel === "info" ? "warn" : logLevel);
  const embedded = databaseUrl === undefined ? await startEmbeddedDatabase(dataDir, log) : undefined;
  const pool = newPool({ url: databaseUrl ?? embedded?.url ?? "", connections: 2, log });
  try {
    const ran = await migrate(pool).catch((error: Error) => {
      throw new CommandError(error.message);
    });
    await cli.write(cli.json ? JSON.stringify(ran) : ran.length === 0 ? "nothing to do" : ran.join("\n"));
  } finally {
    await pool.end();
    await embedded?.[Symbol.asyncDispose]();
  }
}
