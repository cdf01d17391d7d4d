/**
 * Works on what a source gives, on so many at a time, in the order in which they are given. The first failure stops
 * everything else, and is thrown when all has come to rest.
 *
 * @param signal ends it early: its reason is thrown
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
        // Generators queue those who ask.
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
