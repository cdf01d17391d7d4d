/** `npm run demo`: runs the demo, until its end or the first signal. A second signal ends it at once. */
import { onStopSignals } from "../../src/server/stop-signals.ts";
import { explainDemo, runDemo } from "./run-demo.ts";

/** The exit code a shell reports for a program that wrote to a closed pipe: 128 and SIGPIPE. */
const brokenPipe = 128 + 13;

const stopping = new AbortController();
let exitCode = 0;

function interrupt(code: number): void {
  if (stopping.signal.aborted) return;
  exitCode = code;
  stopping.abort();
}

onStopSignals(interrupt);
process.stdout.on("error", () => interrupt(brokenPipe));

try {
  await runDemo(process.env, stopping.signal);
} catch (error) {
  if (!stopping.signal.aborted) {
    process.stderr.write(`demo: ${explainDemo(error)}\n`);
    exitCode = 1;
  }
}
process.exit(exitCode);
