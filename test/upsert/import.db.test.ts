import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Failure } from "../../src/failure.ts";
import type { Row } from "../../src/items/item.ts";
import type { ImportFrame } from "../../src/upsert/import-frame.ts";
import { type ImportSession, openImport } from "../../src/upsert/import-session.ts";
import { upsertItems } from "../../src/upsert/upsert-items.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { begin, countsOf, offer, readVersion, requestFor, row, targetNamed, writing } from "./writer.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

let datasets = 0;
const newName = () => `dataset ${++datasets}`;

const batch = (offset: number, rows: Row[]): ImportFrame => ({
  kind: "batch",
  offset,
  count: rows.length,
  rows,
});
const offered = (offset: number, rows: Row[]): ImportFrame => ({
  kind: "offer",
  offset,
  rows: rows.map(offer),
});
const supply = (rows: Row[]): ImportFrame => ({ kind: "supply", rows });

/** Stages frames and returns their answers; throws if one is refused. */
async function take(session: ImportSession, ...frames: ImportFrame[]) {
  const { answers, refusal } = await session.take(frames, true);
  if (refusal !== undefined) throw refusal;
  return answers;
}

/** Returns the reason and the facts of a failure. */
async function failureOf(action: Promise<unknown>): Promise<Record<string, unknown>> {
  const failure = await action.then(
    () => undefined,
    (error: Failure) => error,
  );
  return { reason: failure?.reason, ...failure?.facts };
}

/** Creates a dataset with these rows at version 1. */
async function seeded(rows: Row[]) {
  const name = newName();
  await upsertItems(writing(database.pool), targetNamed(name), rows, requestFor(name));
  return name;
}

const inputs = async (datasetId: string, version: bigint) =>
  Object.fromEntries(
    (await readVersion(database.pool, datasetId, version)).map((item) => [item.itemId, item.input]),
  );

describe("an import", () => {
  test("is visible only after its commit", async () => {
    const name = newName();
    const session = await begin(database.pool, targetNamed(name), requestFor(name));
    await take(session, batch(0, [row("a", 1), row("b", 2)]));
    const { rows } = await database.pool.query(
      "select from datasets where create_time is not null and dataset_id = (select dataset_id from dataset_names where name = $1)",
      [name],
    );
    expect(rows).toHaveLength(0);
    const receipt = await session.commit(2n);
    expect(receipt).toMatchObject({ state: "published", version: 1n, itemCount: 2n });
    expect(await inputs(receipt.datasetId, 1n)).toEqual({ a: "1", b: "2" });
  });

  test("skips rows that it has received and refuses a gap", async () => {
    const name = newName();
    const session = await begin(database.pool, targetNamed(name), requestFor(name));
    await take(session, batch(0, [row("a", 1), row("b", 2)]));
    await take(session, batch(1, [row("b", 2), row("c", 3)]));
    expect(await failureOf(take(session, batch(5, [row("d", 4)])))).toEqual({
      reason: "OFFSET_GAP",
      next_offset: 3n,
      received_offset: 5n,
    });
    expect(countsOf(await session.commit(3n)).created).toBe(3);
  });

  test("refuses a commit that does not match the received rows, and continues", async () => {
    const name = newName();
    const session = await begin(database.pool, targetNamed(name), requestFor(name));
    await take(session, batch(0, [row("a", 1)]));
    expect(await failureOf(session.commit(2n))).toEqual({
      reason: "INCOMPLETE_STREAM",
      expected_item_count: 2n,
      received_item_count: 1n,
      missing_body_count: 0n,
      next_offset: 1n,
    });
    await take(session, batch(1, [row("b", 1)]));
    expect((await session.commit(2n)).version).toBe(1n);
  });

  test("resumes where it stopped when it is opened again, and refuses the older stream", async () => {
    const name = newName();
    const request = requestFor(name);
    const first = await begin(database.pool, targetNamed(name), request);
    await take(first, batch(0, [row("a", 1)]));
    const second = await begin(database.pool, targetNamed(name), request);
    expect(second.progress).toEqual({ nextOffset: 1, durableOffset: 1 });
    expect(await failureOf(take(first, batch(1, [row("b", 1)])))).toEqual({
      reason: "STREAM_SUPERSEDED",
      request_id: request.requestId,
    });
    await take(second, batch(1, [row("c", 1)]));
    const receipt = await second.commit(2n);
    expect(await inputs(receipt.datasetId, 1n)).toEqual({ a: "1", c: "1" });
    expect(await openImport(writing(database.pool), targetNamed(name), request)).toMatchObject({
      kind: "finished",
      changeset: { version: 1n },
    });
  });

  test("refuses another import under its name", async () => {
    const name = newName();
    const request = requestFor(name);
    await begin(database.pool, targetNamed(name), request);
    expect(
      await failureOf(
        begin(database.pool, targetNamed(name), { ...request, fingerprint: Buffer.alloc(32, 1) }),
      ),
    ).toEqual({ reason: "REQUEST_ID_REUSED", request_id: request.requestId });
  });

  test.each([
    ["new items", []],
    ["existing items that change", [row("x", 0)]],
    ["existing items that do not change", [row("x", 1)]],
  ])("names both rows of a duplicate, however far apart, for %s", async (_, present) => {
    const name = await seeded([row("other", 0), ...present]);
    const session = await begin(database.pool, targetNamed(name), requestFor(name));
    const filler = (from: number) => Array.from({ length: 1000 }, (_, i) => row(`f${from + i}`, i));
    const attempt = async () => {
      await take(session, batch(0, [row("y", 1), row("x", 1)]));
      await take(session, batch(2, filler(2)));
      await take(session, batch(1002, filler(1002)));
      await take(session, batch(2002, [row("z", 1), row("x", 1)]));
      await session.commit(2004n);
    };
    const found = await failureOf(attempt());
    expect({
      ...found,
      first_index: Number(found.first_index),
      second_index: Number(found.second_index),
    }).toEqual({ reason: "DUPLICATE_ITEM_ID", item_id: "x", first_index: 1, second_index: 2003 });
  });

  test("keeps the frames before one that is refused, even if they are staged together", async () => {
    const name = newName();
    const session = await begin(database.pool, targetNamed(name), requestFor(name));
    const { answers, refusal } = await session.take(
      [batch(0, [row("a", 1)]), batch(1, [row("b", 1)]), batch(2, [row("a", 2)]), batch(3, [row("c", 1)])],
      true,
    );
    expect(answers).toHaveLength(2);
    expect((refusal as Failure).facts).toEqual({ item_id: "a", first_index: 0n, second_index: 2n });
    await take(session, batch(2, [row("c", 2)]));
    const receipt = await session.commit(3n);
    expect(await inputs(receipt.datasetId, 1n)).toEqual({ a: "1", b: "1", c: "2" });
  });
});

describe("a delta import", () => {
  test("requests only the bodies that the dataset lacks", async () => {
    const name = await seeded([row("a", 1), row("b", 1), row("c", 1)]);
    const session = await begin(database.pool, targetNamed(name), requestFor(name, { mode: "mirror" }));
    const rows = [row("a", 1), row("b", 2), row("d", 4)];
    expect(await take(session, offered(0, rows))).toEqual([
      { kind: "want", offset: 0, positions: [1, 2], progress: { nextOffset: 1, durableOffset: 1 } },
    ]);
    expect(await failureOf(session.commit(3n))).toMatchObject({ missing_body_count: 2n, next_offset: 1n });
    await take(session, supply([row("d", 4)]));
    expect(await take(session, supply([row("b", 2), row("d", 4)]))).toEqual([
      { kind: "progress", progress: { nextOffset: 3, durableOffset: 3 } },
    ]);
    const receipt = await session.commit(3n);
    expect(countsOf(receipt)).toEqual({ created: 1, updated: 1, unchanged: 1, deleted: 1 });
    expect(await inputs(receipt.datasetId, 2n)).toEqual({ a: "1", b: "2", d: "4" });
  });

  test("requests missing bodies again when rows are offered or sent again", async () => {
    const name = await seeded([row("a", 1)]);
    const request = requestFor(name);
    const first = await begin(database.pool, targetNamed(name), request);
    await take(first, offered(0, [row("a", 1), row("b", 2), row("c", 3)]));
    const again = await begin(database.pool, targetNamed(name), request);
    expect(again.progress.nextOffset).toBe(1);
    expect(await take(again, offered(1, [row("b", 2), row("c", 3)]))).toMatchObject([{ positions: [0, 1] }]);
    expect(await take(again, batch(1, [row("b", 2), row("c", 3), row("", 4)]))).toMatchObject([
      { progress: { nextOffset: 4 } },
    ]);
    expect(countsOf(await again.commit(4n))).toEqual({ created: 3, updated: 0, unchanged: 1, deleted: 0 });
  });

  test("refuses another row with a used number, another body, and a body that was not offered", async () => {
    const name = await seeded([row("a", 1)]);
    const session = await begin(database.pool, targetNamed(name), requestFor(name));
    await take(session, offered(0, [row("b", 2)]));
    expect(await failureOf(take(session, offered(0, [row("x", 2)])))).toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
    expect(await failureOf(take(session, batch(0, [row("b", 3)])))).toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
    expect(await failureOf(take(session, supply([row("b", 3)])))).toMatchObject({
      reason: "CONTENT_HASH_MISMATCH",
      index: 0,
    });
    expect(await failureOf(take(session, supply([row("z", 3)])))).toMatchObject({ reason: "INVALID_FIELD" });
  });

  test("does not transfer bodies for new splits", async () => {
    const name = await seeded([row("a", 1, ["train"])]);
    const session = await begin(database.pool, targetNamed(name), requestFor(name));
    expect(await take(session, offered(0, [row("a", 1, ["test"])]))).toMatchObject([{ positions: [] }]);
    const receipt = await session.commit(1n);
    expect(countsOf(receipt).updated).toBe(1);
    const [item] = await readVersion(database.pool, receipt.datasetId, 2n);
    expect(item).toMatchObject({ input: "1", splits: ["test"], version: 2n });
  });
});

describe("random frames, cuts and resumptions", () => {
  test("end in the receipt and the items of one clean import", { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= 40; seed++) {
      let random = seed;
      const next = (below: number) => {
        random = (random * 48_271) % 2_147_483_647;
        return random % below;
      };
      const base = Array.from({ length: 20 }, (_, i) => row(`k${i}`, next(3)));
      const rows = Array.from({ length: 30 }, (_, i) => row(next(5) === 0 ? "" : `k${i}`, next(3)));
      const mode = next(2) === 0 ? "merge" : "mirror";

      const clean = await seeded(base);
      const whole = await upsertItems(
        writing(database.pool),
        targetNamed(clean),
        rows,
        requestFor(clean, { mode }),
      );

      const name = await seeded(base);
      const request = requestFor(name, { mode, requestId: randomUUID() });
      let session = await begin(database.pool, targetNamed(name), request);
      const wanted = new Set<number>();
      for (;;) {
        if (next(4) === 0) {
          session = await begin(database.pool, targetNamed(name), request);
          wanted.clear();
        }
        const { nextOffset } = session.progress;
        if (nextOffset === rows.length) break;
        const from = Math.max(0, nextOffset - next(3));
        const part = rows.slice(from, from + 1 + next(8));
        if (next(3) === 0 && wanted.size > 0) {
          const some = [...wanted].filter(() => next(2) === 0);
          if (some.length > 0) await take(session, supply(some.map((number) => rows[number] as Row)));
          for (const number of some) wanted.delete(number);
        } else if (next(2) === 0 && part.every((one) => one.itemId !== "")) {
          const [answer] = await take(session, offered(from, part));
          if (answer?.kind === "want") for (const position of answer.positions) wanted.add(from + position);
        } else {
          await take(session, batch(from, part));
          for (let number = from; number < from + part.length; number++) wanted.delete(number);
        }
      }
      const receipt = await session.commit(BigInt(rows.length));
      expect(countsOf(receipt), `seed ${seed}`).toEqual(countsOf(whole.changeset));
      const contents = async (datasetId: string, version: bigint) =>
        (await readVersion(database.pool, datasetId, version))
          .map((item) => `${item.itemId.startsWith("item") ? "" : item.itemId}=${item.input}`)
          .sort();
      expect(await contents(receipt.datasetId, receipt.outcomeVersion ?? 0n)).toEqual(
        await contents(whole.changeset.datasetId, whole.changeset.outcomeVersion ?? 0n),
      );
    }
  });
});
