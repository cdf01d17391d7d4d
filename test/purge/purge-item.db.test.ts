import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IfExists } from "../../gen/itembank/v1/item_service_pb.js";
import { contentHash } from "../../src/items/content-hash.ts";
import {
  countsOf,
  type DatasetRef,
  type ItemServiceUnderTest,
  item,
  startItemService,
} from "../items/item-service.ts";
import { waitForLock } from "../support/locks.ts";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import { batch, commit, type Frame, open, receiptOf, send } from "../upsert/streaming.ts";

/** A text that only the content to be erased contains. */
const secret = "SECRET";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

const purge = (dataset: DatasetRef, itemId = "x") => service.items.purgeItem({ dataset, itemId });

const purged = (itemId = "x", more: Record<string, unknown> = {}) =>
  refused("FailedPrecondition", "ITEM_PURGED", { item_id: itemId, ...more });

/** Creates a dataset with `y` and three revisions of `x` in four versions, the last of which deleted and recreated it. */
async function withHistory(): Promise<DatasetRef> {
  const dataset = await service.dataset(
    item("x", `${secret} 1`, { expectedOutputJson: `"${secret} a"`, metadataJson: `{"m":"${secret}"}` }),
    item("y", "kept"),
  );
  await service.items.updateItem({
    dataset,
    itemId: "x",
    patch: { inputJson: `"${secret} 2"`, splits: ["test"] },
  });
  await service.items.deleteItem({ dataset, itemId: "x" });
  await service.upserts.upsertItems({ dataset, items: [item("x", `${secret} 3`, { splits: ["test"] })] });
  return dataset;
}

/** Creates a dataset with `x` and `y` at version 1, and purges `x`. */
async function withPurged(): Promise<DatasetRef> {
  const dataset = await service.dataset(item("x", secret), item("y", "kept"));
  await purge(dataset);
  return dataset;
}

/** Returns the tables that contain the secret of a dataset. */
async function tablesWithSecret({ by: { value: datasetId } }: DatasetRef): Promise<string[]> {
  const { rows } = await service.pool.query<{ name: string }>(
    `select table_name as name from information_schema.columns
     where table_schema = 'public' and column_name = 'dataset_id'`,
  );
  const found: string[] = [];
  for (const { name } of rows) {
    const { rowCount } = await service.pool.query(
      `select from ${name} as t where dataset_id = $1 and t::text like $2 limit 1`,
      [datasetId, `%${secret}%`],
    );
    if (rowCount) found.push(name);
  }
  return found;
}

describe("PurgeItem", () => {
  test("erases the content of an item from every version, and nothing else", async () => {
    const dataset = await withHistory();
    const versions = async () => (await service.datasets.listVersions({ dataset })).versions;
    const before = await Promise.all([1n, 2n, 4n].map((version) => service.read(dataset, version)));
    const versionsBefore = await versions();
    expect(await tablesWithSecret(dataset)).toEqual(["item_revisions"]);

    const answer = await purge(dataset);
    expect(answer).toMatchObject({ revisionCount: 3n, resultCount: 0n });
    expect(await tablesWithSecret(dataset)).toEqual([]);
    for (const [index, version] of [1n, 2n, 4n].entries()) {
      const { x, y } = await service.read(dataset, version);
      const { expectedOutputJson: _, ...kept } = before[index]?.x ?? {};
      expect(x).toEqual({ ...kept, inputJson: "", metadataJson: "", purged: true });
      expect(y).toEqual(before[index]?.y);
    }
    expect(await service.read(dataset, 3n)).not.toHaveProperty("x");
    expect(await versions()).toEqual(versionsBefore);
  });

  test("changes nothing when repeated, and returns the time of the first purge", async () => {
    const dataset = await withHistory();
    const first = await purge(dataset);
    const { dataset: before } = await service.datasets.getDataset({ dataset });
    const { rows } = await service.pool.query("select ctid, xmin from item_revisions where dataset_id = $1", [
      dataset.by.value,
    ]);
    expect(await purge(dataset)).toEqual(first);
    expect((await service.datasets.getDataset({ dataset })).dataset).toEqual(before);
    const again = await service.pool.query("select ctid, xmin from item_revisions where dataset_id = $1", [
      dataset.by.value,
    ]);
    expect(again.rows).toEqual(rows);
  });

  test("counts the purged items of a dataset, for clients that keep copies", async () => {
    const dataset = await service.dataset(item("x", 1), item("y", 1));
    const count = async () => {
      const { rows } = await service.pool.query<{ purge_count: bigint }>(
        "select purge_count from datasets where dataset_id = $1",
        [dataset.by.value],
      );
      return rows[0]?.purge_count;
    };
    await purge(dataset);
    await purge(dataset);
    expect(await count()).toBe(1n);
    await purge(dataset, "y");
    expect(await count()).toBe(2n);
  });

  test("purges a deleted item", async () => {
    const dataset = await service.dataset(item("x", secret));
    await service.items.deleteItem({ dataset, itemId: "x" });
    expect(await purge(dataset)).toMatchObject({ revisionCount: 1n });
    expect((await service.read(dataset, 1n)).x).toMatchObject({ inputJson: "", purged: true });
  });

  test("refuses an item that no version ever had", async () => {
    const dataset = await service.dataset(item("y", 1));
    await send(service.upserts, [open({ dataset, requestId: randomUUID() }), batch(0, [item("x", 1)])]);
    expect(await refusalOf(purge(dataset))).toEqual(
      refused("NotFound", "ITEM_NOT_FOUND", { dataset_id: dataset.by.value, item_id: "x", version: "1" }),
    );
    const nowhere = { by: { case: "name", value: "nowhere" } } as const;
    expect(await refusalOf(service.items.purgeItem({ dataset: nowhere, itemId: "x" }))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { name: "nowhere" }),
    );
    for (const itemId of ["", "a\n", "x".repeat(256)]) {
      expect(await refusalOf(purge(dataset, itemId))).toEqual(invalid("item_id"));
    }
    expect(await refusalOf(service.items.purgeItem({ itemId: "x" }))).toEqual(invalid("dataset"));
  });

  test("is deleted with the dataset", async () => {
    const dataset = await withPurged();
    await service.datasets.deleteDataset({ dataset });
    const { rowCount } = await service.pool.query("select from purges where dataset_id = $1", [
      dataset.by.value,
    ]);
    expect(rowCount).toBe(0);
  });
});

type Write = (dataset: DatasetRef) => Promise<unknown>;

/** Every write of content to `x`, by description. */
const writes: Record<string, Write> = {
  UpdateItem: (dataset) => service.items.updateItem({ dataset, itemId: "x", patch: { inputJson: "1" } }),
  "UpdateItem of splits": (dataset) =>
    service.items.updateItem({ dataset, itemId: "x", patch: { splits: ["a"] } }),
  CreateItem: (dataset) => service.items.createItem({ dataset, item: item("x", secret) }),
  "CreateItem if it is not identical": (dataset) =>
    service.items.createItem({ dataset, item: item("x", 1), ifExists: IfExists.RETURN_IDENTICAL }),
  BatchCreateItems: (dataset) =>
    service.items.batchCreateItems({ dataset, items: [item("new", 1), item("x", 1)] }),
  "UpsertItems with other content": (dataset) =>
    service.upserts.upsertItems({ dataset, items: [item("new", 1), item("x", 1)] }),
  "UpsertItems with other splits": (dataset) =>
    service.upserts.upsertItems({ dataset, items: [item("x", secret, { splits: ["a"] })] }),
  "a dry run of UpsertItems": (dataset) =>
    service.upserts.upsertItems({ dataset, items: [item("x", 1)], options: { validateOnly: true } }),
  "a row without an id that is matched, with other splits": (dataset) =>
    service.upserts.upsertItems({ dataset, items: [{ inputJson: JSON.stringify(secret), splits: ["a"] }] }),
  "a batch of a stream": (dataset) =>
    send(service.upserts, [
      open({ dataset, requestId: randomUUID() }),
      batch(0, [item("y", 1), item("x", 1)]),
    ]),
  "an offer of a stream": (dataset) =>
    send(service.upserts, [open({ dataset, requestId: randomUUID() }), offerOf("x", 1)]),
  "an offer with other splits": (dataset) =>
    send(service.upserts, [open({ dataset, requestId: randomUUID() }), offerOf("x", secret, ["a"])]),
};

const offerOf = (itemId: string, input: unknown, splits: string[] = []): Frame => ({
  case: "offer",
  value: {
    offset: 0n,
    entries: [
      {
        itemId,
        contentHash: contentHash({
          input: JSON.stringify(input),
          expectedOutput: undefined,
          metadata: undefined,
        }),
        splits,
      },
    ],
  },
});

describe("A purged item", () => {
  test.each(Object.entries(writes))("refuses %s", async (_, write) => {
    const dataset = await withPurged();
    expect(await refusalOf(write(dataset) as Promise<unknown>)).toEqual(purged());
    expect(await service.read(dataset)).not.toHaveProperty("new");
    expect(await tablesWithSecret(dataset)).toEqual([]);
  });

  test("is reported with the row that stands for it", async () => {
    const dataset = await withPurged();
    const rows = { dataset, items: [item("new", 1), item("x", 1)] };
    expect(await refusalOf(service.upserts.upsertItems(rows))).toEqual(purged("x", { index: "1" }));
    expect(await refusalOf(service.items.batchCreateItems(rows))).toEqual(purged("x", { index: "1" }));
  });

  test("may be deleted, but not recreated", async () => {
    const dataset = await withPurged();
    expect(countsOf((await service.items.deleteItem({ dataset, itemId: "x" })).receipt)).toBe("c0 u0 n0 d1");
    for (const content of [secret, "other"]) {
      for (const ifExists of [IfExists.FAIL, IfExists.RETURN_IDENTICAL]) {
        const creation = service.items.createItem({ dataset, item: item("x", content), ifExists });
        expect(await refusalOf(creation)).toEqual(purged());
      }
      expect(await refusalOf(service.upserts.upsertItems({ dataset, items: [item("x", content)] }))).toEqual(
        purged(),
      );
    }
    expect((await service.items.deleteItem({ dataset, itemId: "x" })).receipt?.noOp).toBe(true);
  });

  test("is unchanged by rows with the hash of its erased content", async () => {
    const dataset = await withPurged();
    const same = item("x", secret);
    const rows = { dataset, items: [same, item("y", "kept")], options: { mode: 2 } };
    expect(countsOf((await service.upserts.upsertItems(rows)).receipt)).toBe("c0 u0 n2 d0");
    const anonymous = { ...rows, items: [{ inputJson: JSON.stringify(secret) }, item("y", "kept")] };
    expect(countsOf((await service.upserts.upsertItems(anonymous)).receipt)).toBe("c0 u0 n2 d0");
    const offered = [open({ dataset, requestId: randomUUID() }), offerOf("x", secret), commit(1)];
    expect(countsOf(await receiptOf(service.upserts, offered))).toBe("c0 u0 n1 d0");
    const created = await service.items.createItem({
      dataset,
      item: same,
      ifExists: IfExists.RETURN_IDENTICAL,
    });
    expect(created).toMatchObject({ item: { inputJson: "", purged: true }, receipt: { noOp: true } });
    expect(await tablesWithSecret(dataset)).toEqual([]);
  });

  test("is deleted by a mirror that does not contain it", async () => {
    const dataset = await withPurged();
    const mirrored = await service.upserts.upsertItems({
      dataset,
      items: [item("y", "kept")],
      options: { mode: 2 },
    });
    expect(countsOf(mirrored.receipt)).toBe("c0 u0 n1 d1");
  });
});

describe("Writes that were open when an item was purged", () => {
  test("lose its content, and fail when they are committed", async () => {
    const dataset = await service.dataset(item("x", `old ${secret}`));
    const name = { dataset, requestId: randomUUID() };
    await send(service.upserts, [open(name), batch(0, [item("y", 1), item("x", secret)])]);
    await purge(dataset);
    expect(await tablesWithSecret(dataset)).toEqual([]);
    expect(await refusalOf(send(service.upserts, [open(name), commit(2)]))).toEqual(
      purged("x", { index: "1" }),
    );
    await service.upserts.discardUpsert(name);
    expect(Object.keys(await service.read(dataset))).toEqual(["x"]);
  });

  test("lose the content they planned to write, and cannot be applied", async () => {
    const dataset = await service.dataset(item("x", `old ${secret}`));
    const name = { dataset, requestId: randomUUID() };
    await service.upserts.upsertItems({
      ...name,
      items: [item("x", secret)],
      options: { validateOnly: true },
    });
    await purge(dataset);
    expect(await tablesWithSecret(dataset)).toEqual([]);
    expect(await refusalOf(service.upserts.applyUpsert(name))).toEqual(purged());
    expect((await service.upserts.getUpsert(name)).receipt?.state).toBe(2);
  });

  test("fail if they would restore content that they found unchanged", async () => {
    const dataset = await service.dataset(item("x", secret), item("y", 1));
    const name = { dataset, requestId: randomUUID() };
    await send(service.upserts, [open(name), batch(0, [item("x", secret)])]);
    await service.items.updateItem({ dataset, itemId: "x", patch: { inputJson: `"new ${secret}"` } });
    await purge(dataset);
    expect(await refusalOf(send(service.upserts, [open(name), commit(1)]))).toEqual(
      purged("x", { index: "0" }),
    );
  });

  test("are published if they leave the item unchanged", async () => {
    const dataset = await service.dataset(item("x", secret), item("y", 1));
    const name = { dataset, requestId: randomUUID() };
    await send(service.upserts, [open(name), batch(0, [item("x", secret), item("z", 1)])]);
    await purge(dataset);
    expect(countsOf(await receiptOf(service.upserts, [open(name), commit(2)]))).toBe("c1 u0 n1 d0");
  });

  test("that are adding rows delay the purge", async () => {
    const dataset = await service.dataset(item("x", `old ${secret}`));
    const name = { dataset, requestId: randomUUID() };
    await send(service.upserts, [open(name), batch(0, [item("y", 1)])]);
    // Simulates a frame whose rows are written but not committed yet.
    const writer = await service.pool.connect();
    try {
      await writer.query("begin");
      const { rows } = await writer.query<{ changeset_id: bigint }>(
        "select changeset_id from changesets where dataset_id = $1 and request_id = $2 for update",
        [dataset.by.value, name.requestId],
      );
      await writer.query(
        `insert into item_revisions (dataset_id, item_id, changeset_id, row_number, content_hash, splits, keeps_splits, input)
         values ($1, 'x', $2, 1, sha256('x'), '{}', true, $3)`,
        [dataset.by.value, rows[0]?.changeset_id, JSON.stringify(secret)],
      );
      const purging = purge(dataset);
      await waitForLock(service.pool);
      await writer.query("commit");
      await purging;
    } finally {
      writer.release();
    }
    expect(await tablesWithSecret(dataset)).toEqual([]);
  });

  test("race with the purge, 20 of each kind: afterwards no content of the item is left", async () => {
    const dataset = await service.dataset(item("x", `${secret} 0`));
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        if (n === 20) return void (await purge(dataset));
        const rows = [item("x", `${secret} ${n}`)];
        const frames = [open({ dataset, requestId: randomUUID() }), batch(0, rows), commit(1)];
        const write =
          n % 2 === 0 ? service.upserts.upsertItems({ dataset, items: rows }) : send(service.upserts, frames);
        return write.then(
          () => "written",
          () => refusalOf(write).then(({ reason }) => reason),
        );
      }),
    );
    expect(new Set(outcomes)).toContain("ITEM_PURGED");
    expect(outcomes.filter((one) => one !== undefined && one !== "written" && one !== "ITEM_PURGED")).toEqual(
      [],
    );
    expect(await tablesWithSecret(dataset)).toEqual([]);
  });
});
