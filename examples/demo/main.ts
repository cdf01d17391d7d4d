/**
 * `npm run demo`: starts the service with its embedded database, and shows over gRPC what it does. Started again on the same
 * data, it changes nothing. Data is kept where `npm start` keeps it.
 */
import { constants } from "node:os";
import { Code, ConnectError } from "@connectrpc/connect";
import { serverVersion } from "../../src/system/version.ts";
import { newTerminal } from "./printing/terminal.ts";
import { startService } from "./service.ts";
import { tour } from "./tour.ts";

async function main(): Promise<void> {
  const terminal = newTerminal(process.stdout, process.env);
  const starting = startService(process.env);
  onSignal(async () => {
    // If it does not start, there is nothing to stop.
    await starting.then(
      (service) => service.stop(),
      () => undefined,
    );
  });
  const service = await starting;
  try {
    terminal.heading(`Assay ${serverVersion}`);
    terminal.print(`database  ${service.databaseDescription}`);
    terminal.print(`calls     gRPC to ${service.address}`);
    await tour(service, terminal);
  } finally {
    await service.stop();
  }
}

/** Signals this close together are one: a terminal sends Ctrl-C to npm and to the demo, and npm passes it on. */
const sameSignalMilliseconds = 300;

let stoppingSince: number | undefined;

/** Stops cleanly on the first signal, and at once on the second. */
function onSignal(stop: () => Promise<void>): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // The package of the embedded database sets handlers when it is loaded, which end the process in mid-call.
    process.removeAllListeners(signal);
    process.on(signal, () => {
      const exitCode = 128 + constants.signals[signal];
      if (stoppingSince !== undefined) {
        if (performance.now() - stoppingSince < sameSignalMilliseconds) return;
        process.exit(exitCode);
      }
      stoppingSince = performance.now();
      stop().finally(() => process.exit(exitCode));
    });
  }
}

/** What went wrong, in one line. */
function explain(error: unknown): string {
  if (error instanceof ConnectError) return `${Code[error.code]}: ${error.rawMessage}`;
  return error instanceof Error ? (error.message.split("\n")[0] ?? error.name) : String(error);
}

main().then(
  () => {
    // A signal that came in the meantime decides about the exit code.
    if (stoppingSince === undefined) process.exit(0);
  },
  (error: unknown) => {
    // Calls that a signal cuts short fail; that is no news.
    if (stoppingSince !== undefined) return;
    process.stderr.write(`demo: ${explain(error)}\n`);
    process.exit(1);
  },
);
