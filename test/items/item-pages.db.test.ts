import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Client } from "../../src/db/pool.ts";
import { transaction } from "../../src/db/transaction.ts";
import { listItems } from "../../src/items/item-page-store.ts";
import { upsertItems } from "../../src/upsert/upsert-items.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { datasetHandle } from "../support/handles.ts";
import { begin, requestFor, row, targetNamed, writing } from "../upsert/writer.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
  // Statistics exist only after a test asks for them.
  await database.pool.query("alter table item_revisions set (autovacuum_enabled = off)");
});
afterAll(() => database.drop());

const key = (n: number) => `k${String(n).padStart(5, "0")}`;

/** A dataset of 5,000 items, every other number. */
async function dataset(name: string): Promise<string> {
  let datasetId = "";
  for (let first = 0; first < 5_000; first += 1_000) {
    const rows = Array.from({ length: 1_000 }, (_, n) => row(key(2 * (first + n)), first + n));
    const { changeset } = await upsertItems(
      writing(database.pool),
      targetNamed(name),
      rows,
      requestFor(name),
    );
    datasetId = changeset.datasetId;
  }
  return datasetId;
}

/** The number of rows of a table that the statements of this transaction have read. */
async function rowsRead(client: Client, table = "item_revisions"): Promise<number> {
  const { rows } = await client.query<{ count: bigint }>(
    `select seq_tup_read + coalesce(idx_tup_fetch, 0) as count from pg_stat_xact_user_tables
     where relname = $1`,
    [table],
  );
  return Number(rows[0]?.count);
}

const inIndexOrder = <T>(work: (client: Client) => Promise<T>) =>
  transaction(database.pool, work, { indexOrder: true });

const page = (client: Client, datasetId: string, version: bigint, after: string, items = 10) =>
  listItems(
    client,
    { datasetId: datasetHandle(datasetId), version, filter: { splits: [], view: "full" } },
    { after, items, bytes: 3_000_000 },
  );

describe("a page of items", () => {
  test.each(["without statistics", "with statistics"])(
    "reads no more revisions than it shows, wherever it starts, in a table %s",
    async (statistics) => {
      const datasetId = await dataset(`pages ${statistics}`);
      if (statistics === "with statistics") await database.pool.query("analyze item_revisions");
      for (const after of ["", key(20), key(5_000), key(9_900)]) {
        await inIndexOrder(async (client) => {
          // Enough executions for a prepared statement to get its generic plan.
          for (let times = 1; times <= 8; times++) {
            const before = await rowsRead(client);
            const { items } = await page(client, datasetId, 5n, after);
            expect(items).toHaveLength(10);
            expect((await rowsRead(client)) - before).toBeLessThanOrEqual(12);
          }
        });
      }
    },
  );

  test("looks up two changesets for each item at most, however many versions there are", async () => {
    const datasetId = await dataset("many versions");
    for (let n = 0; n < 150; n++) {
      await upsertItems(
        writing(database.pool),
        targetNamed("many versions"),
        [row(key(2 * n), "changed")],
        requestFor("many versions"),
      );
    }
    await inIndexOrder(async (client) => {
      for (let times = 1; times <= 8; times++) {
        const before = await rowsRead(client, "changesets");
        expect((await page(client, datasetId, 155n, "", 200)).items).toHaveLength(200);
        expect((await rowsRead(client, "changesets")) - before).toBeLessThanOrEqual(2 * 201);
      }
    });
  });

  test("skips revisions that the version does not show, however many there are", async () => {
    const datasetId = await dataset("open import");
    const session = await begin(database.pool, targetNamed("open import"), requestFor("open import"));
    for (let first = 0; first < 3_000; first += 1_000) {
      // Before the items, between them, and further revisions of them.
      const rows = [
        ...Array.from({ length: 400 }, (_, n) => row(`a${first + n}`, "new")),
        ...Array.from({ length: 300 }, (_, n) => row(key(2 * (first + n) + 1), "new")),
        ...Array.from({ length: 300 }, (_, n) => row(key(2 * (first + n)), "other")),
      ];
      const { refusal } = await session.take(
        [{ kind: "batch", offset: first, count: rows.length, rows }],
        true,
      );
      expect(refusal).toBeUndefined();
    }
    for (const version of [0n, 1n, 5n]) {
      const seen: string[] = [];
      let after = "";
      for (let isLast = false; !isLast; ) {
        const read = await transaction(database.pool, (client) =>
          page(client, datasetId, version, after, 700),
        );
        seen.push(...read.items.map(({ itemId }) => itemId));
        after = seen.at(-1) ?? "";
        isLast = read.isLast;
        expect(isLast || read.items.length === 700).toBe(true);
      }
      expect(seen).toEqual(Array.from({ length: Number(version) * 1_000 }, (_, n) => key(2 * n)));
    }
  });

  test("has at least one item, and says whether it is the last", async () => {
    const datasetId = await dataset("large");
    await inIndexOrder(async (client) => {
      const bounds = { items: 10, bytes: 1 };
      const all = {
        datasetId: datasetHandle(datasetId),
        version: 5n,
        filter: { splits: [], view: "full" as const },
      };
      const first = await listItems(client, all, {
        after: undefined,
        ...bounds,
      });
      expect(first).toMatchObject({ items: [{ itemId: key(0) }], isLast: false });
      const last = await listItems(client, all, {
        after: key(9_996),
        ...bounds,
      });
      expect(last).toMatchObject({ items: [{ itemId: key(9_998) }], isLast: true });
      const none = await listItems(client, all, {
        after: key(9_998),
        ...bounds,
      });
      expect(none).toEqual({ items: [], isLast: true });
    });
  });
});
