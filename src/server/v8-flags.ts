/**
 * The flags of V8 that the service runs with, however it is started: as `npm start`, by the command line, by tests or by benchmarks.
 *
 * - Semi-spaces of at most 16 MiB: on 64-bit machines V8 lets them grow to 64, which keeps more garbage resident than it saves
 *   work. Streams of 200,000 items took at most 456 MiB with 16 and 592 with 64, at the same share of the pace of COPY.
 * - Buffers are most of what a stream uses up, and live for a moment. Unless they count as memory like any other, V8 collects the
 *   whole heap for every 64 MiB of them, which takes as much time as serving them.
 */
export const v8Flags: readonly string[] = [
  "--max-semi-space-size=16",
  "--external-memory-accounted-in-global-limit",
];

/**
 * Makes sure that this process runs with the flags: one that was started without them becomes a process with them, under the same
 * number and with the same arguments, environment and open streams. Call it before anything else is done, since nothing else
 * survives. A flag that the caller has set, as an argument of Node or in NODE_OPTIONS, stays as it is.
 *
 * `v8.setFlagsFromString` would be simpler, and does nothing for semi-spaces: V8 reads their size when it makes the heap (measured on
 * Node 24: set to 1 at run time the two spaces still grew to 128 MiB together, set on start to 2). A child would take the memory of
 * one more process, and have signals and streams passed on.
 */
export function execWithV8Flags(): void {
  const given = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)].map(nameOf);
  const missing = v8Flags.filter((flag) => !given.includes(nameOf(flag)));
  // Windows cannot replace a process. The service does run without the flags, at the cost that they save.
  if (missing.length === 0 || process.execve === undefined || process.platform === "win32") return;
  process.execve(
    process.execPath,
    [process.execPath, ...missing, ...process.execArgv, ...process.argv.slice(1)],
    process.env,
  );
}

/** A flag without its value, in the one of its two spellings that has hyphens. */
function nameOf(flag: string): string {
  return (flag.split("=")[0] ?? "").replaceAll("_", "-");
}
