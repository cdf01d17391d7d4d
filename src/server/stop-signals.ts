import { constants } from "node:os";

/**
 * Signals this close together are one: a terminal sends Ctrl-C to npm and to the program, and npm passes it on. Nobody presses it
 * twice that fast.
 */
const sameSignalMilliseconds = 300;

/**
 * Has SIGINT, SIGTERM and SIGHUP stop a program: the first of them calls `stop` with the exit code that a shell reports of a program
 * which the signal ended, 128 and its number; a later one ends the process at once with that code.
 */
export function onStopSignals(stop: (exitCode: number) => void): void {
  let since: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const exitCode = 128 + constants.signals[signal];
    process.on(signal, () => {
      if (since === undefined) {
        since = performance.now();
        stop(exitCode);
      } else if (performance.now() - since >= sameSignalMilliseconds) {
        process.exit(exitCode);
      }
    });
  }
}
