import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copyIn } from "../../src/db/copy.ts";
import { transaction } from "../../src/db/transaction.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase({ connections: 2 });
  await database.pool.query(
    "create table copied (place bigint primary key, t text, b bytea, n bigint, flag boolean, ts text[])",
  );
});
afterAll(() => database.drop());

interface Values {
  readonly t: string | undefined;
  readonly b: Uint8Array;
  readonly n: number | bigint | undefined;
  readonly flag: boolean;
  readonly ts: readonly string[];
}

const plain: Values = { t: "", b: Buffer.alloc(0), n: 0, flag: false, ts: [] };

async function copy(values: readonly Values[]): Promise<void> {
  await transaction(database.pool, async (client) => {
    await client.query("delete from copied");
    const statement = "copy copied (place, t, b, n, flag, ts) from stdin (format binary)";
    await copyIn(client, statement, [...values.entries()], (rows, [place, one]) => {
      rows.row(6);
      rows.int8(place);
      rows.text(one.t);
      rows.bytes(one.b);
      rows.int8(one.n);
      rows.boolean(one.flag);
      rows.texts(one.ts);
    });
  });
}

/** The content of the table, in the order of the rows. */
async function copied() {
  const { rows } = await database.pool.query("select t, b, n, flag, ts from copied order by place");
  return rows;
}

async function expectRoundTrip(values: readonly Values[]): Promise<void> {
  await copy(values);
  expect(await copied()).toEqual(
    values.map(({ t, b, n, flag, ts }) => ({
      t: t ?? null,
      b: Buffer.from(b),
      n: n === undefined ? null : BigInt(n),
      flag,
      ts,
    })),
  );
}

describe("rows in COPY's binary format are read back unchanged:", () => {
  test.each([
    [
      "texts",
      [undefined, "", "null", "\\N", "a\tb\nc\rd\\", "é e\u0301 漢字 😀 \u{10FFFF}"].map((t) => ({ t })),
    ],
    ["bytes", [Buffer.alloc(0), Buffer.from([0, 255, 10, 92]), randomBytes(300)].map((b) => ({ b }))],
    [
      "int8",
      [
        undefined,
        ...[0, -1, 1, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, 2 ** 32 - 1, -(2 ** 32)],
        ...[Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2n ** 63n - 1n, -(2n ** 63n), 0n],
      ].map((n) => ({ n })),
    ],
    ["booleans", [{ flag: true }, { flag: false }]],
    [
      "arrays",
      [[], [""], ["a", "b"], ["null", "{", '"', ",", "\\"], ["é", "😀"], Array(32).fill("x".repeat(128))].map(
        (ts) => ({ ts }),
      ),
    ],
  ] satisfies [string, Partial<Values>[]][])("%s", async (_, values) => {
    await expectRoundTrip(values.map((one) => ({ ...plain, ...one })));
  });

  test("values around the sizes of the buffers that they are built in", async () => {
    const sizes = [64, 128, 224, 255, 256, 257, 512, 700].map((kib) => kib * 1024);
    await expectRoundTrip(
      sizes.flatMap((size) => [
        { ...plain, t: "x".repeat(size) },
        { ...plain, t: "漢".repeat(size / 2) },
        { ...plain, b: randomBytes(size), ts: ["y".repeat(size)] },
      ]),
    );
  });

  test("20,000 rows of all sizes, which are sent in many chunks", async () => {
    await expectRoundTrip(
      Array.from({ length: 20_000 }, (_, index) => ({
        t: index % 7 === 0 ? undefined : "é".repeat(index % 97),
        b: Buffer.alloc(index % 31, index),
        n: index % 5 === 0 ? undefined : index - 10_000,
        flag: index % 2 === 0,
        ts: Array(index % 3).fill(`split ${index}`),
      })),
    );
  });

  test("no rows", () => expectRoundTrip([]));
});

describe("a COPY that is refused", () => {
  test("throws the database's error, however much was still to be sent, and leaves a working connection", async () => {
    // A text of the database cannot contain U+0000; JSON escapes it.
    const bad = { ...plain, t: "a\0b" };
    const many = Array<Values>(5_000).fill({ ...plain, t: "x".repeat(1_000) });
    for (const values of [[bad], [bad, ...many], [...many, bad]]) {
      await expect(copy(values)).rejects.toMatchObject({ code: "22021" });
    }
    await expectRoundTrip([plain]);
    expect(database.pool.totalCount).toBe(1);
  });

  test("throws an error of encoding rows, and keeps nothing", async () => {
    await copy([plain]);
    const broken = Array.from({ length: 3_000 }, () => ({ ...plain, t: "x".repeat(1_000) }));
    const poisoned = {
      ...plain,
      get t(): string {
        throw new Error("cannot be made");
      },
    };
    await expect(copy([...broken, poisoned])).rejects.toThrow("cannot be made");
    expect(await copied()).toHaveLength(1);
  });
});
