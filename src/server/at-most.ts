import { setTimeout as sleep } from "node:timers/promises";

/** Waits for `work`, but at most this long. Rethrows any error that `work` throws within this time. */
export async function atMost(milliseconds: number, work: PromiseLike<void>): Promise<void> {
  const isDone = new AbortController();
  try {
    // Rejects once the work is done first, after the race is decided.
    await Promise.race([
      work,
      sleep(milliseconds, undefined, { signal: isDone.signal }).catch(() => undefined),
    ]);
  } finally {
    isDone.abort();
  }
}
