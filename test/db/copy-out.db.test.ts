import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CopiedColumns } from "../../src/db/copied-columns.ts";
import { copyPage, literal } from "../../src/db/copy-out.ts";
import { instantFromSql } from "../../src/db/instant.ts";
import { databaseFault } from "../../src/db/sqlstate.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase({ connections: 1 });
});
afterAll(() => database.drop());

/** Runs a query by COPY and maps each of its rows, which have this many columns. */
async function copyOut<T>(query: string, columns: number, read: (row: CopiedColumns) => T): Promise<T[]> {
  const row = new CopiedColumns(await copyPage(database.pool, query), columns);
  const rows: T[] = [];
  while (row.next()) rows.push(read(row));
  return rows;
}

describe("a query run by COPY", () => {
  test("returns rows with values of all types, and distinguishes null", async () => {
    const rows = await copyOut(
      `select * from (values
         (1, 'ü\u0001"'::text, -7, 9007199254740993, 0.1::float8, '1969-12-31 23:59:59.999999+00'::timestamptz),
         (2, '', 0, -1, '-0'::float8, '2026-11-21 12:00:00+00'),
         (3, null, null, null, null, null)
       ) as rows order by 1`,
      6,
      (row) => [
        row.isNull(1) || row.text(1),
        row.isNull(2) || row.int4(2),
        row.isNull(3) || row.bigint(3),
        row.isNull(4) || row.float8(4),
        row.isNull(5) || row.instant(5),
      ],
    );
    expect(rows).toEqual([
      ['ü\u0001"', -7, 9007199254740993n, 0.1, -1n],
      ["", 0, -1n, -0, instantFromSql("2026-11-21 12:00:00+00")],
      [true, true, true, true, true],
    ]);
  });

  test("returns a bigint as a number, too, exact up to 2^53", async () => {
    const numbers = [0, 1, -1, 2 ** 32, -(2 ** 32) - 1, 2 ** 53, -(2 ** 53)];
    const query = `select n from unnest(array[${numbers.join()}]::bigint[]) with ordinality as rows (n, place) order by place`;
    expect(await copyOut(query, 1, (row) => row.int8(0))).toEqual(numbers);
  });

  test("returns the elements of arrays one by one", async () => {
    const rows = await copyOut(
      "select * from (values ('{}'::text[]), ('{ü}'), ('{a,\"\",bc}'), (null)) as rows",
      1,
      (row) => {
        const texts: string[] = [];
        row.forEachElement(0, (buffer, start, end) => texts.push(buffer.toString("utf8", start, end)));
        return texts;
      },
    );
    expect(rows).toEqual([[], ["ü"], ["a", "", "bc"], []]);
  });

  test("refuses rows with another number of columns than their reader expects", async () => {
    await expect(copyOut("select 1, 2", 1, (row) => row.int4(0))).rejects.toThrow("2 columns instead of 1");
    await expect(copyOut("select 1", 2, (row) => row.int4(0))).rejects.toThrow("1 columns instead of 2");
  });

  test("returns no rows if there are none", async () => {
    expect(await copyOut("select 1 where false", 1, (row) => row.int4(0))).toEqual([]);
  });

  test("returns rows that arrive in many chunks", async () => {
    const rows = await copyOut(
      "select n, repeat('x', n * 7) from generate_series(1, 2000) as n order by n",
      2,
      (row) => [row.int4(0), row.text(1).length],
    );
    expect(rows).toEqual(Array.from({ length: 2000 }, (_, n) => [n + 1, (n + 1) * 7]));
  });

  test("accepts any text as a literal", async () => {
    for (const text of ["", "it's", "back\\slash", "'; drop table runs; --", "$1", "line\nbreak", "ü💥"]) {
      expect(await copyOut(`select ${literal(text)}`, 1, (row) => row.text(0))).toEqual([text]);
    }
    const numbers = `select ${literal(-1)}, ${literal(2n ** 63n - 1n)}`;
    expect(await copyOut(numbers, 2, (row) => [row.int4(0), row.bigint(1)])).toEqual([[-1, 2n ** 63n - 1n]]);
  });

  test("throws the database's error, however many rows came before, and leaves a working connection", async () => {
    const failing = copyOut(
      "select repeat('x', 100), 1 / (5000 - n) from generate_series(1, 10000) as n",
      2,
      (row) => row.text(0),
    );
    await expect(failing).rejects.toMatchObject({ code: "22012" });
    expect(await copyOut("select 1", 1, (row) => row.int4(0))).toEqual([1]);
  });

  test("is planned in index order on request, and restores the connection, even after an error", async () => {
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
      const reading = copyOut("select pg_sleep(60)::text", 1, (row) => row.text(0));
      const error = reading.catch((thrown: unknown) => thrown);
      for (let killed = 0; killed === 0; await sleep(10)) {
        const { rowCount } = await outside.pool.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where query like 'copy (select pg_sleep(60)%' and state = 'active'`,
        );
        killed = rowCount ?? 0;
      }
      expect(databaseFault(await error)).toEqual({ kind: "unavailable" });
      expect(await copyOut("select 1", 1, (row) => row.int4(0))).toEqual([1]);
    } finally {
      await outside.drop();
    }
  });
});
