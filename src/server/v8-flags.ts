/**
 * The V8 flags of the service, however it is started: by `npm start`, the command line, tests or benchmarks.
 *
 * - Semi-spaces of at most 16 MiB: on 64-bit machines V8 lets them grow to 64 MiB, which keeps garbage resident without saving
 *   much work. Streams of 200,000 items took at most 456 MiB with 16 and 592 MiB with 64, at the same share of the pace of COPY.
 * - Most memory that a stream allocates is in short-lived buffers. Unless they count like any other memory, V8 collects the whole
 *   heap for every 64 MiB of them, which takes as much time as serving them.
 */
export const v8Flags: readonly string[] = [
  "--max-semi-space-size=16",
  "--external-memory-accounted-in-global-limit",
];

/**
 * Ensures that this process runs with the flags: if any is missing, execve replaces the process by one that has them, with the
 * same process id, arguments, environment and open streams. Call it first, since no other state survives. A flag that was set
 * already, as an argument of Node or in NODE_OPTIONS, keeps its value.
 *
 * `v8.setFlagsFromString` would be simpler, but has no effect on semi-spaces: V8 reads their size when it creates the heap (measured
 * on Node 24: set to 1 at run time, the two spaces still grew to 128 MiB together; set on start, to 2). A child process would cost
 * the memory of another process, and signals and streams would have to be forwarded.
 */
export function execWithV8Flags(): void {
  const given = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)].map(nameOf);
  const missing = v8Flags.filter((flag) => !given.includes(nameOf(flag)));
  // Windows cannot replace a process. The service also runs without the flags, at the cost that they save.
  if (missing.length === 0 || process.execve === undefined || process.platform === "win32") return;
  process.execve(
    process.execPath,
    [process.execPath, ...missing, ...process.execArgv, ...process.argv.slice(1)],
    process.env,
  );
}

/** Returns the name of a flag without its value, with hyphens for underscores. */
function nameOf(flag: string): string {
  return (flag.split("=")[0] ?? "").replaceAll("_", "-");
}
