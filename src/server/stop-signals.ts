import { constants } from "node:os";

/**
 * Signals within this time count as one: a terminal sends Ctrl-C to npm and to the program, and npm forwards it. No user presses
 * it twice that fast.
 */
const sameSignalMilliseconds = 300;

/**
 * Makes SIGINT, SIGTERM and SIGHUP stop the program: the first one calls `stop` with the exit code that a shell reports for a
 * program ended by that signal, 128 plus its number; a later one ends the process at once with its code.
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
