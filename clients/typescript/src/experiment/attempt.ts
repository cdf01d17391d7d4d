/** An attempt, or an evaluator, exceeded its time limit. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
  readonly code = "TIMEOUT";
}

/**
 * Runs `work` with a signal of its own, and waits at most `timeoutMs`, even if `work` ignores the signal.
 *
 * @throws TimeoutError; the reason of `signal`; any error of `work`
 */
export async function attempt<T>(
  work: (signal: AbortSignal) => T | Promise<T>,
  timeoutMs: number | undefined,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const own = new AbortController();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  own.signal.addEventListener("abort", () => reject(own.signal.reason), { once: true });
  const abort = () => own.abort(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => own.abort(new TimeoutError(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([(async () => work(own.signal))(), ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}
