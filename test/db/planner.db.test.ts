import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { withHashJoins, withIndexes, withIndexOrder } from "../../src/db/planner.ts";
import type { Client } from "../../src/db/pool.ts";
import { transaction } from "../../src/db/transaction.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  // One connection, so that leftovers of a transaction are found.
  database = await newTestDatabase({ connections: 1 });
  await database.pool.query("create table numbers (number integer primary key, other integer, filling text)");
  await database.pool.query("create index on numbers (other)");
  // Scanning along the second index visits the table once for each of its values, which costs more than sorting.
  await database.pool.query(
    "insert into numbers select n, n % 10, repeat('x', 500) from generate_series(1, 10000) n",
  );
  // With statistics, so that the planner has good reasons for its own choice.
  await database.pool.query("analyze numbers");
});
afterAll(() => database.drop());

const switches = [
  "enable_nestloop",
  "enable_seqscan",
  "enable_sort",
  "enable_bitmapscan",
  "max_parallel_workers_per_gather",
];

async function settings(client: Pick<Client, "query">): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    "select name, setting from pg_settings where name = any($1)",
    [switches],
  );
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

/** The kinds of nodes in the plan of a statement. */
async function planOf(client: Pick<Client, "query">, statement: string): Promise<string> {
  const { rows } = await client.query<{ "QUERY PLAN": string }>(`explain (costs off) ${statement}`);
  return rows.map((row) => row["QUERY PLAN"]).join("\n");
}

const twoRows = "select * from numbers a join (values (1), (2)) b (n) on a.number = b.n";
const all = "select * from numbers where number > 0";
const sorted = "select number from numbers where other > 0 order by other";

describe.each([
  { name: "withHashJoins", run: withHashJoins, changed: { enable_nestloop: "off" } },
  {
    name: "withIndexes",
    run: withIndexes,
    changed: { enable_seqscan: "off", max_parallel_workers_per_gather: "0" },
  },
  {
    name: "withIndexOrder",
    run: withIndexOrder,
    changed: { enable_sort: "off", enable_bitmapscan: "off" },
  },
])("$name", ({ run, changed }) => {
  test("sets its switches for its work, and restores them within the transaction", async () => {
    const before = await settings(database.pool);
    expect(before).not.toMatchObject(changed);
    await transaction(database.pool, async (client) => {
      expect(await settings(client)).toEqual(before);
      const result = await run(client, async () => {
        expect(await settings(client)).toEqual({ ...before, ...changed });
        return 42;
      });
      expect(result).toBe(42);
      expect(await settings(client)).toEqual(before);
    });
    expect(await settings(database.pool)).toEqual(before);
  });

  test("leaves no settings if its work fails", async () => {
    const before = await settings(database.pool);
    const failing = transaction(database.pool, (client) =>
      run(client, async () => client.query("select 1 / 0")),
    );
    await expect(failing).rejects.toThrow("division by zero");
    expect(await settings(database.pool)).toEqual(before);
  });
});

describe("the planner", () => {
  test("joins by a hash table or by merging when told to, and by a nested loop otherwise", async () => {
    await transaction(database.pool, async (client) => {
      expect(await planOf(client, twoRows)).toContain("Nested Loop");
      expect(await withHashJoins(client, () => planOf(client, twoRows))).not.toContain("Nested Loop");
    });
  });

  test("reads a table by its index when told to, and as a whole otherwise", async () => {
    await transaction(database.pool, async (client) => {
      expect(await planOf(client, all)).toContain("Seq Scan");
      expect(await withIndexes(client, () => planOf(client, all))).not.toContain("Seq Scan");
    });
  });

  test("reads along an index when told to, and sorts otherwise", async () => {
    await transaction(database.pool, async (client) => {
      expect(await planOf(client, sorted)).toContain("Sort");
      expect(await withIndexOrder(client, () => planOf(client, sorted))).toMatch(/^Index Scan/);
    });
    const inOrder = await transaction(database.pool, (client) => planOf(client, sorted), {
      indexOrder: true,
    });
    expect(inOrder).toMatch(/^Index Scan/);
  });
});
