import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { transaction } from "../../src/db/transaction.ts";
import { sweepBlockRanges } from "../../src/versions/block-range-sweeper.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase({ connections: 2 });
  await database.pool.query("alter table item_revisions set (autovacuum_enabled = off)");
});
afterAll(() => database.drop());

/** Writes more blocks than a few ranges cover, under one changeset. */
async function fill(changesetId: number): Promise<void> {
  await database.pool.query(
    `insert into item_revisions (dataset_id, item_id, changeset_id, row_number, content_hash, splits, keeps_splits, input)
     select 'data', 'item ' || n, $1, n, decode(repeat('00', 32), 'hex'), '{}', false, repeat('x', 1000)
     from generate_series(1, 4000) as n`,
    [changesetId],
  );
}

describe("block ranges of revisions", () => {
  test("are summarized once, and again for later writes", async () => {
    await fill(1);
    expect(await sweepBlockRanges(database.pool)).toBeGreaterThan(2);
    expect(await sweepBlockRanges(database.pool)).toBe(0);
    await fill(2);
    expect(await sweepBlockRanges(database.pool)).toBeGreaterThan(2);
  });

  test("are skipped without waiting while another connection summarizes them", async () => {
    await fill(3);
    await transaction(database.pool, async (client) => {
      await client.query("lock table item_revisions in share update exclusive mode");
      expect(await sweepBlockRanges(database.pool)).toBe(0);
    });
    expect(await sweepBlockRanges(database.pool)).toBeGreaterThan(2);
  });
});
