import type { Pool } from "../db/pool.ts";
import { databaseFault } from "../db/sqlstate.ts";
import { sweepRegularly } from "../db/sweeping.ts";
import { transaction } from "../db/transaction.ts";
import type { Logger } from "../log.ts";
import { lockBlockRanges, sumUpBlockRanges } from "./block-range-store.ts";

/**
 * Sums up now and then which changesets wrote the blocks that were filled since, until `stopping` fires. PostgreSQL does so by
 * itself only when it vacuums the table or writes few blocks at a time; until then, differences and rebasing read all of
 * what a large import wrote.
 */
export async function runBlockRangeSweeper(pool: Pool, log: Logger, stopping: AbortSignal): Promise<void> {
  await sweepRegularly(log, stopping, {
    what: "summing up block ranges of revisions",
    sweep: () => sweepBlockRanges(pool),
  });
}

/** Sums up what there is to sum up and says how many block ranges that were; none while somebody else is at it. */
export async function sweepBlockRanges(pool: Pool): Promise<number> {
  try {
    return await transaction(pool, async (client) => {
      await lockBlockRanges(client);
      return sumUpBlockRanges(client);
    });
  } catch (error) {
    if (databaseFault(error)?.kind === "locked") return 0;
    throw error;
  }
}
