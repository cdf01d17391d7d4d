import { setTimeout as sleep } from "node:timers/promises";
import type { Queryable } from "../../src/db/pool.ts";

/** Waits until a connection of the suite waits for a lock of another. */
export async function waitForLock(db: Queryable): Promise<void> {
  for (;;) {
    const { rowCount } = await db.query(
      "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    if (rowCount) return;
    await sleep(5);
  }
}
