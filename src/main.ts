/** `npm start`: runs the service until SIGINT, SIGTERM or SIGHUP. A second signal ends it at once. */
import { onStopSignals } from "./server/stop-signals.ts";
import { execWithV8Flags } from "./server/v8-flags.ts";

execWithV8Flags();

const stopping = new AbortController();
onStopSignals(() => stopping.abort());

// Imported only now: a process that is about to be replaced need not load the service.
const [{ runService }, { explainStart }] = await Promise.all([
  import("./server/run-service.ts"),
  import("./server/explain-start.ts"),
]);
try {
  await runService(process.env, stopping.signal);
  process.exit(0);
} catch (error) {
  process.stderr.write(`itembank: ${explainStart(error)}\n`);
  process.exit(1);
}
