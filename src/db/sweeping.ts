import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../log.ts";

/** How often is looked for something to do. What is left lying for a minute longer does no harm. */
const intervalMilliseconds = 60_000;

/** A chore that nobody waits for. Any number of servers may do it on one database. */
export interface Chore {
  /** What it does, for the log: `discarding expired writes`. */
  readonly what: string;
  /** Does all there is to do and says how much it was. */
  readonly sweep: () => Promise<number>;
}

/** Does a chore now and then until `stopping` fires. */
export async function sweepRegularly(
  log: Logger,
  stopping: AbortSignal,
  { what, sweep }: Chore,
): Promise<void> {
  while (!stopping.aborted) {
    try {
      const count = await sweep();
      if (count > 0) log.info({ count }, `finished ${what}`);
    } catch (error) {
      // The database may be away for a while; the next round finds the same.
      log.warn({ error: String(error) }, `${what} failed`);
    }
    await sleep(intervalMilliseconds, undefined, { signal: stopping, ref: false }).catch(() => undefined);
  }
}
