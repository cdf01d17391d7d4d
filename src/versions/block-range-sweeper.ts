import type { Sweeper } from "../db/periodic-sweeper.ts";
import type { Pool } from "../db/pool.ts";
import { databaseFault } from "../db/sqlstate.ts";
import { transaction } from "../db/transaction.ts";
import { lockBlockRanges, sumUpBlockRanges } from "./block-range-store.ts";

/**
 * Summarizes which changesets wrote the blocks that were filled recently. PostgreSQL does so by itself only when it
 * vacuums the table or writes few blocks at a time; until then, differences and rebasing read all that a large import
 * wrote.
 */
export function newBlockRangeSweeper(pool: Pool): Sweeper {
  return { name: "block ranges", sweep: () => sweepBlockRanges(pool) };
}

/** Summarizes all new block ranges and returns their number; 0 while another connection is at it. */
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
