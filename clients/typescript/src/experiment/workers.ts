/**
 * Calls `work` for each element of a source, in order, with at most `concurrency` calls in flight. The first failure aborts
 * the others, and is thrown once all have settled.
 *
 * @param signal ends it early, throwing its reason
 */
export async function forEachAtATime<T>(
  source: (signal: AbortSignal) => AsyncGenerator<T>,
  concurrency: number,
  work: (one: T, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const given = source(either);
  const worker = async () => {
    try {
      for (;;) {
        // Generators queue concurrent calls of next.
        const { done, value } = await given.next();
        if (done) return;
        either.throwIfAborted();
        await work(value, either);
      }
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: Math.max(1, concurrency) }, worker));
  await given.return(undefined);
  signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  for (const outcome of settled) if (outcome.status === "rejected") throw outcome.reason;
}
