import { constants } from "node:os";
import { setFlagsFromString } from "node:v8";
import { serverVersion } from "./api/system/version.ts";
import { ConfigError, type ListenAddress, readConfig } from "./config.ts";
import { newLog } from "./log.ts";
import { type Server, startServer } from "./server/start-server.ts";

/**
 * Signals this close together are one: a terminal sends Ctrl-C to npm and to the service, and npm passes it on. Nobody
 * presses it twice that fast.
 */
const sameSignalMilliseconds = 300;

// Buffers are most of what a stream uses up, and live for a moment. Unless they count as memory like any other, V8 collects
// the whole heap for every 64 MiB of them, which takes as much time as serving them.
setFlagsFromString("--external-memory-accounted-in-global-limit");

/** Runs the service until SIGINT, SIGTERM or SIGHUP. A second one ends it at once. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = newLog(config.logLevel);
  const starting = startServer({ config, log });

  let stoppingSince: number | undefined;
  const stop = (signal: NodeJS.Signals) => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince < sameSignalMilliseconds) return;
      process.exit(128 + constants.signals[signal]);
    }
    stoppingSince = performance.now();
    // If it does not start, the error is reported below.
    starting.then(
      async (server) => {
        await server.close();
        process.exit(0);
      },
      () => undefined,
    );
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, stop);
  }

  const server = await starting;
  if (stoppingSince === undefined) process.stdout.write(`${greeting(server)}\n`);
}

function greeting({ address, databaseDescription }: Server): string {
  const where = hostAndPort(address);
  return (
    `Itembank ${serverVersion} listens on ${where}, database: ${databaseDescription}. Try: npx buf curl ` +
    `--http2-prior-knowledge --protocol grpc http://${where}/itembank.v1.SystemService/GetServerInfo`
  );
}

function hostAndPort({ host, port }: ListenAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** What went wrong, in one line, for whoever started the service. */
function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  // A host name with several addresses gives one error for each, and an empty message.
  if (error instanceof AggregateError) return error.errors.map(explain).join("; ");
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "EADDRINUSE" && "port" in error) {
    return `port ${error.port} is in use. Stop what uses it, or set ITEMBANK_LISTEN to another one.`;
  }
  return error.message;
}

main().catch((error: unknown) => {
  process.stderr.write(`itembank: ${explain(error)}\n`);
  process.exit(1);
});
