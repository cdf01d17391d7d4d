/**
 * `npm run demo`: starts the service with its embedded database, and demonstrates it over gRPC. Started again on the same
 * data, it changes nothing. The data is stored where `npm start` stores it.
 */
import { constants } from "node:os";
import { Code, ConnectError } from "@connectrpc/connect";
import { serverVersion } from "../../src/api/system/version.ts";
import { newTerminal } from "../../src/cli/printing/terminal.ts";
import { startService } from "./service.ts";
import { tour } from "./tour.ts";

/** Signals this close together count as one: a terminal sends Ctrl-C to npm and to the demo, and npm passes it on. */
const sameSignalMilliseconds = 300;

const terminal = newTerminal(process.stdout, process.env);

/** The exit code a shell reports for a program that wrote to a closed pipe. */
const brokenPipe = 128 + 13;

/** Runs until the end of the tour or an interruption, which makes the tour fail because the service stops under it. */
async function main(): Promise<void> {
  terminal.heading(`Itembank ${serverVersion}`);
  terminal.print("starting; the first start takes some seconds");
  const starting = startService(process.env);
  onInterruption(() => {
    starting.then(
      (service) => service.close(),
      // It did not start, so there is nothing to stop.
      () => undefined,
    );
  });
  const service = await starting;
  try {
    terminal.print(`database  ${service.databaseDescription}`);
    terminal.print(`calls     gRPC to ${service.address}`);
    await tour(service, terminal);
  } finally {
    await service.close();
  }
}

/** The first interruption, and its time. */
let stopping: { readonly exitCode: number; readonly since: number } | undefined;

/** Stops on the first signal, or when the output is closed, and ends the process at once on the second signal. */
function onInterruption(stop: () => void): void {
  const interrupt = (exitCode: number) => {
    if (stopping !== undefined) return;
    stopping = { exitCode, since: performance.now() };
    stop();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (stopping !== undefined && performance.now() - stopping.since > sameSignalMilliseconds) {
        process.exit(stopping.exitCode);
      }
      interrupt(128 + constants.signals[signal]);
    });
  }
  process.stdout.on("error", () => interrupt(brokenPipe));
}

/** Describes an error in one line. */
function explain(error: unknown): string {
  if (error instanceof ConnectError) return `${Code[error.code]}: ${error.rawMessage}`;
  return error instanceof Error ? (error.message.split("\n")[0] ?? error.name) : String(error);
}

main().then(
  () => end(),
  (error: unknown) => end(error),
);

/** Ends the process. Calls that a signal interrupted have failed, which is expected and not reported. */
function end(error?: unknown): void {
  if (stopping !== undefined) {
    terminal.print("\nstopped, and the database with it");
    process.exit(stopping.exitCode);
  }
  if (error !== undefined) process.stderr.write(`demo: ${explain(error)}\n`);
  process.exit(error === undefined ? 0 : 1);
}
