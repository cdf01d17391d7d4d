/**
 * `npm run demo`: starts the service with its embedded database, and shows over gRPC what it does. Started again on the same
 * data, it changes nothing. Data is kept where `npm start` keeps it.
 */
import { constants } from "node:os";
import { Code, ConnectError } from "@connectrpc/connect";
import { serverVersion } from "../../src/api/system/version.ts";
import { newTerminal } from "../../src/cli/printing/terminal.ts";
import { startService } from "./service.ts";
import { tour } from "./tour.ts";

/** Signals this close together are one: a terminal sends Ctrl-C to npm and to the demo, and npm passes it on. */
const sameSignalMilliseconds = 300;

const terminal = newTerminal(process.stdout, process.env);

/** What a shell reports of a program that wrote to a pipe nobody reads. */
const brokenPipe = 128 + 13;

/** Runs until the end of the tour or an interruption, which makes the tour fail because the service stops under it. */
async function main(): Promise<void> {
  terminal.heading(`Itembank ${serverVersion}`);
  terminal.print("starts, which takes some seconds the first time");
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

/** The first interruption, and when it came. */
let stopping: { readonly exitCode: number; readonly since: number } | undefined;

/** Stops on the first signal, or when nobody reads on, and ends the process at once on the second signal. */
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

/** What went wrong, in one line. */
function explain(error: unknown): string {
  if (error instanceof ConnectError) return `${Code[error.code]}: ${error.rawMessage}`;
  return error instanceof Error ? (error.message.split("\n")[0] ?? error.name) : String(error);
}

main().then(
  () => end(),
  (error: unknown) => end(error),
);

/** Ends the process. Calls that a signal cut short have failed, which is no news. */
function end(error?: unknown): void {
  if (stopping !== undefined) {
    terminal.print("\nstopped, and the database with it");
    process.exit(stopping.exitCode);
  }
  if (error !== undefined) process.stderr.write(`demo: ${explain(error)}\n`);
  process.exit(error === undefined ? 0 : 1);
}
