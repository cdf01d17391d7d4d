import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Changeset } from "../../src/changesets/changeset.ts";
import { Failure } from "../../src/failure.ts";
import type { Item, Row } from "../../src/items/item.ts";
import { upsertItems } from "../../src/upsert/upsert-items.ts";
import { DigestSum } from "../../src/versions/digest.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { comparable, importRows } from "./model.ts";
import { begin, countsOf, offer, readVersion, requestFor, row, targetNamed, writing } from "./writer.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase({ connections: 20 });
});
afterAll(() => database.drop());

/** A finished write: its request and its receipt. */
interface Published {
  readonly rows: readonly Row[];
  readonly mode: "merge" | "mirror";
  readonly receipt: Changeset;
}

/** Applies the writes sequentially in the order of their versions, and compares every version along the way. */
async function expectSerial(published: readonly Published[]): Promise<void> {
  const versions = published
    .filter(({ receipt }) => receipt.version !== undefined)
    .sort((one, other) => Number(one.receipt.version) - Number(other.receipt.version));
  expect(versions.map(({ receipt }) => Number(receipt.version))).toEqual(
    versions.map((_, index) => index + 1),
  );
  const model = new Map<string, string>();
  for (const { rows, mode, receipt } of versions) {
    const counts = importRows(
      model,
      rows.map(({ itemId, input }) => ({ itemId, content: input })),
      mode,
    );
    expect(countsOf(receipt), `version ${receipt.version}`).toEqual(counts);
    const items = await readVersion(database.pool, receipt.datasetId, receipt.version ?? 0n);
    expect(comparable(items.map((item) => [item.itemId, item.input ?? ""]))).toEqual(comparable(model));
    expect(Buffer.from(receipt.digest ?? []).toString("hex"), `digest of ${receipt.version}`).toBe(
      digestOf(items),
    );
    expect(Number(receipt.itemCount)).toBe(items.length);
  }
  for (const { rows, receipt } of published) {
    const { created, updated, unchanged } = countsOf(receipt);
    expect(created + updated + unchanged).toBe(rows.length);
  }
}

const writeBigint = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);

function digestOf(items: readonly Item[]): string {
  const sum = new DigestSum();
  for (const { itemId, contentHash, splits } of items) sum.add(itemId, contentHash, splits);
  return Buffer.from(sum.bytes()).toString("hex");
}

describe("many writers on one dataset", () => {
  test("200 upserts from three servers over 20 connections make versions 1 to 200", async () => {
    const name = "two hundred";
    const published = await Promise.all(
      Array.from({ length: 200 }, async (_, index): Promise<Published> => {
        const rows = [row(`k${index % 7}`, index), row("", index)];
        const { changeset } = await upsertItems(
          writing(database.pool, index % 3),
          targetNamed(name),
          rows,
          requestFor(name),
        );
        return { rows, mode: "merge", receipt: changeset };
      }),
    );
    await expectSerial(published);
    expect(published.map(({ receipt }) => Number(receipt.version)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, index) => index + 1),
    );
  });

  test("60 streams, merges and mirrors, with and without offers, are serializable, and a reader sees its version throughout", async () => {
    const name = "sixty streams";
    let random = 7;
    const next = (below: number) => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    const plans = Array.from({ length: 60 }, () => ({
      mode: next(3) === 0 ? ("mirror" as const) : ("merge" as const),
      offers: next(2) === 0,
      rows: [
        ...Array.from({ length: 12 }, (_, index) => index)
          .filter(() => next(2) === 0)
          .map((index) => row(`k${index}`, next(3))),
        ...Array.from({ length: next(3) }, () => row("", next(3))),
      ],
    }));
    const first = await upsertItems(
      writing(database.pool),
      targetNamed(name),
      [row("k0", 0), row("", 0)],
      requestFor(name),
    );
    const { datasetId } = first.changeset;
    const firstVersion = JSON.stringify(await readVersion(database.pool, datasetId, 1n), writeBigint);
    let isWriting = true;
    const reader = (async () => {
      let reads = 0;
      for (; isWriting || reads === 0; reads++) {
        const again = await readVersion(database.pool, datasetId, 1n);
        expect(JSON.stringify(again, writeBigint)).toBe(firstVersion);
      }
      return reads;
    })();
    const published = await Promise.all(
      plans.map(async ({ mode, offers, rows }): Promise<Published> => {
        const session = await begin(database.pool, targetNamed(name), requestFor(name, { mode }));
        const identified = rows.filter((one) => one.itemId !== "");
        const rest = rows.filter((one) => one.itemId === "");
        if (offers && identified.length > 0) {
          const { answers } = await session.take(
            [{ kind: "offer", offset: 0, rows: identified.map(offer) }],
            true,
          );
          const positions = answers[0]?.kind === "want" ? answers[0].positions : [];
          const bodies = positions.map((position) => identified[position] as Row);
          if (bodies.length > 0) await session.take([{ kind: "supply", rows: bodies }], true);
        } else if (identified.length > 0) {
          await session.take(
            [{ kind: "batch", offset: 0, count: identified.length, rows: identified }],
            true,
          );
        }
        if (rest.length > 0) {
          await session.take(
            [{ kind: "batch", offset: identified.length, count: rest.length, rows: rest }],
            true,
          );
        }
        const receipt = await session.commit(BigInt(rows.length));
        return { rows: [...identified, ...rest], mode, receipt };
      }),
    );
    isWriting = false;
    expect(await reader).toBeGreaterThan(0);
    await expectSerial([
      { rows: [row("k0", 0), row("", 0)], mode: "merge", receipt: first.changeset },
      ...published,
    ]);
  });

  test("of two writers that expect the same version, exactly one wins", async () => {
    const name = "one wins";
    await upsertItems(writing(database.pool), targetNamed(name), [row("a", 0)], requestFor(name));
    const outcomes = await Promise.allSettled(
      [1, 2].map((value) =>
        upsertItems(
          writing(database.pool),
          targetNamed(name),
          [row("a", value)],
          requestFor(name, { expectedVersion: 1n }),
        ),
      ),
    );
    const lost = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect(lost).toHaveLength(1);
    expect(lost[0]).toBeInstanceOf(Failure);
    expect(lost[0]).toMatchObject({
      reason: "VERSION_CONFLICT",
      facts: { expected_version: 1n, latest_version: 2n },
    });
  });

  test("one request_id twenty times at once has one effect and one answer", async () => {
    const name = "twenty times";
    const request = requestFor(name);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        upsertItems(writing(database.pool), targetNamed(name), [row("", 1), row("a", 1)], request),
      ),
    );
    expect(new Set(answers.map(({ changeset }) => changeset.version))).toEqual(new Set([1n]));
    expect(new Set(answers.map(({ rows }) => JSON.stringify(rows))).size).toBe(1);
    const items = await readVersion(database.pool, answers[0]?.changeset.datasetId ?? "", 1n);
    expect(items).toHaveLength(2);
  });

  test("twenty imports that all create the same dataset make one dataset with twenty versions", async () => {
    const name = "created by twenty";
    const receipts = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const session = await begin(database.pool, targetNamed(name), requestFor(name));
        await session.take([{ kind: "batch", offset: 0, count: 1, rows: [row(`k${index}`, 1)] }], true);
        return session.commit(1n);
      }),
    );
    expect(new Set(receipts.map((one) => one.datasetId)).size).toBe(1);
    expect(receipts.map((one) => Number(one.version)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
  });
});
