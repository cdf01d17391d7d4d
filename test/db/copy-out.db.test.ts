import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CopiedColumns } from "../../src/db/copied-columns.ts";
import { copyOut, copyPage, literal } from "../../src/db/copy-out.ts";
import { instantFromSql } from "../../src/db/instant.ts";
import { databaseFault } from "../../src/db/sqlstate.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase({ connections: 1 });
});
afterAll(() => database.drop());

describe("a query run by COPY", () => {
  test("gives rows with the values of all types, and undefined for null", async () => {
    const rows = await copyOut(
      database.pool,
      `select * from (values
         (1, 'ü\u0001"'::text, '\\x00ff'::bytea, -7, 9007199254740993, 0.1::float8, '1969-12-31 23:59:59.999999+00'::timestamptz),
         (2, '', '\\x', 0, -1, '-0'::float8, '2026-11-21 12:00:00+00'),
         (3, null, null, null, null, null, null)
       ) as rows order by 1`,
      (row) => {
        row.int4();
        return [row.text(), row.bytes(), row.int4(), row.int8(), row.float8(), row.instant()];
      },
    );
    expect(rows).toEqual([
      ['ü\u0001"', Buffer.from([0, 255]), -7, 9007199254740993n, 0.1, -1n],
      ["", Buffer.alloc(0), 0, -1n, -0, instantFromSql("2026-11-21 12:00:00+00")],
      [undefined, undefined, undefined, undefined, undefined, undefined],
    ]);
  });

  test("gives no rows where there are none", async () => {
    expect(await copyOut(database.pool, "select 1 where false", (row) => row.int4())).toEqual([]);
  });

  test("gives rows that travel in many pieces", async () => {
    const rows = await copyOut(
      database.pool,
      "select n, repeat('x', n * 7) from generate_series(1, 2000) as n order by n",
      (row) => [row.int4(), row.text()?.length],
    );
    expect(rows).toEqual(Array.from({ length: 2000 }, (_, n) => [n + 1, (n + 1) * 7]));
  });

  test("takes any text as a literal", async () => {
    for (const text of ["", "it's", "back\\slash", "'; drop table runs; --", "$1", "line\nbreak", "ü💥"]) {
      expect(await copyOut(database.pool, `select ${literal(text)}`, (row) => row.text())).toEqual([text]);
    }
    const numbers = `select ${literal(-1)}, ${literal(2n ** 63n - 1n)}`;
    expect(await copyOut(database.pool, numbers, (row) => [row.int4(), row.int8()])).toEqual([
      [-1, 2n ** 63n - 1n],
    ]);
  });

  test("throws what the database says, however many rows came before, and leaves a connection that works", async () => {
    const failing = copyOut(
      database.pool,
      "select repeat('x', 100), 1 / (5000 - n) from generate_series(1, 10000) as n",
      (row) => row.text(),
    );
    await expect(failing).rejects.toMatchObject({ code: "22012" });
    expect(await copyOut(database.pool, "select 1", (row) => row.int4())).toEqual([1]);
  });

  test("is planned in index order where that is asked for, and the connection is as before, also after an error", async () => {
    const setting = "select current_setting('enable_sort')";
    const read = async (query: string) => {
      const rows = new CopiedColumns(await copyPage(database.pool, query, { indexOrder: true }), 1);
      return rows.next() ? rows.text(0) : undefined;
    };
    const present = async () => (await database.pool.query({ text: setting, rowMode: "array" })).rows;
    expect(await read(setting)).toBe("off");
    expect(await present()).toEqual([["on"]]);
    await expect(read("select 1 / 0")).rejects.toMatchObject({ code: "22012" });
    expect(await present()).toEqual([["on"]]);
    expect(await read(setting)).toBe("off");
  });

  test("throws when its connection breaks, which is then replaced", async () => {
    const outside = await newTestDatabase({ connections: 1 });
    try {
      const reading = copyOut(database.pool, "select pg_sleep(60)::text", (row) => row.text());
      const error = reading.catch((thrown: unknown) => thrown);
      for (let killed = 0; killed === 0; await sleep(10)) {
        const { rowCount } = await outside.pool.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where query like 'copy (select pg_sleep(60)%' and state = 'active'`,
        );
        killed = rowCount ?? 0;
      }
      expect(databaseFault(await error)).toEqual({ kind: "unavailable" });
      expect(await copyOut(database.pool, "select 1", (row) => row.int4())).toEqual([1]);
    } finally {
      await outside.drop();
    }
  });
});
