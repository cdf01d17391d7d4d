import { expect } from "vitest";
import type { Pool } from "../../src/db/pool.ts";
import type { TestService } from "./service.ts";

/** Expects that no connection of the pool and no transaction was left open. */
export async function expectNothingLeaked({ resources: { pool } }: TestService): Promise<void> {
  await expectNothingLeakedFrom(pool);
}

/** The same for the pool alone. */
export async function expectNothingLeakedFrom(pool: Pool): Promise<void> {
  await expect.poll(() => pool.totalCount - pool.idleCount, { timeout: 5_000 }).toBe(0);
  const { rows } = await pool.query(
    "select query from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
  );
  expect(rows).toEqual([]);
}
