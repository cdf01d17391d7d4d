import { setTimeout as sleep } from "node:timers/promises";

/** Waits for `work`, but no longer than that. @throws what `work` throws within this time */
export async function atMost(milliseconds: number, work: PromiseLike<void>): Promise<void> {
  const isDone = new AbortController();
  try {
    // Rejects when the work is done first, which the race has then decided.
    await Promise.race([
      work,
      sleep(milliseconds, undefined, { signal: isDone.signal }).catch(() => undefined),
    ]);
  } finally {
    isDone.abort();
  }
}
