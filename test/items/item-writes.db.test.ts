import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import { type DatasetRef, type ItemServiceUnderTest, item, plain, startItemService } from "./item-service.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

/** The fields of every write besides its content. */
interface WriteFields {
  readonly dataset?: DatasetRef | { readonly by: { readonly case: "name"; readonly value: string } };
  readonly requestId?: string;
  readonly note?: string;
  /** Not of UpdateItem and DeleteItem. */
  readonly expectedVersion?: bigint;
  readonly expectedItemVersion?: bigint;
}

/** The fields of every answer to a write. */
interface Answer {
  readonly receipt?: Receipt | undefined;
  readonly item?: Item | undefined;
  readonly items?: Item[];
  readonly missingItemIds?: string[];
}

type Write = (fields: WriteFields, other?: boolean) => Promise<Answer>;

const createItem: Write = (fields, other) =>
  service.items.createItem({ ...fields, item: item("new", other ? 2 : 1) });
const batchCreateItems: Write = (fields, other) =>
  service.items.batchCreateItems({ ...fields, items: [item("", 1), item("new", other ? 2 : 1)] });
const updateItem: Write = ({ expectedVersion: _, ...fields }, other) =>
  service.items.updateItem({ ...fields, itemId: "x", patch: { inputJson: other ? "8" : "9" } });
const deleteItem: Write = ({ expectedVersion: _, ...fields }, other) =>
  service.items.deleteItem({ ...fields, itemId: other ? "y" : "x" });
const batchDeleteItems: Write = (fields, other) =>
  service.items.batchDeleteItems({ ...fields, itemIds: other ? ["y"] : ["x", "gone"] });

const newDataset = () => service.dataset(item("x", 1), item("y", 1));

const latestVersion = async (dataset: DatasetRef) =>
  (await service.datasets.getDataset({ dataset })).dataset?.latestVersion;

/** An answer in a form to compare. */
const plainAnswer = ({ item: one, items, ...rest }: Answer) => ({
  ...rest,
  item: one && plain(one),
  items: items?.map(plain),
});

describe.each([
  ["CreateItem", createItem],
  ["BatchCreateItems", batchCreateItems],
  ["UpdateItem", updateItem],
  ["DeleteItem", deleteItem],
  ["BatchDeleteItems", batchDeleteItems],
])("%s", (method, write) => {
  test("returns the first answer to a repetition, even when others wrote since", async () => {
    const dataset = await newDataset();
    const fields = { dataset, requestId: randomUUID() };
    const first = plainAnswer(await write(fields));
    expect(first.receipt).toMatchObject({ requestId: fields.requestId, version: 2n, noOp: false });
    expect(plainAnswer(await write(fields))).toEqual(first);

    await service.upserts.upsertItems({
      dataset,
      items: [item("x", "changed"), item("gone", 1)],
      options: { mode: 2 },
    });
    expect(plainAnswer(await write(fields))).toEqual(first);
    expect(await latestVersion(dataset)).toBe(3n);
    const { receipt } = await service.upserts.getUpsert({ dataset, requestId: fields.requestId });
    expect(receipt).toEqual(first.receipt);
  });

  test("has one effect and one answer for ten repetitions at once", async () => {
    const dataset = await newDataset();
    const fields = { dataset, requestId: randomUUID() };
    const [first, ...others] = await Promise.all(Array.from({ length: 10 }, () => write(fields)));
    for (const other of others) expect(plainAnswer(other)).toEqual(plainAnswer(first as Answer));
    expect(await latestVersion(dataset)).toBe(2n);
  });

  test("treats a request_id in upper case as the same", async () => {
    const dataset = await newDataset();
    const requestId = randomUUID();
    const { receipt } = await write({ dataset, requestId });
    expect((await write({ dataset, requestId: requestId.toUpperCase() })).receipt).toEqual(receipt);
  });

  test("refuses a request_id that was used for another request", async () => {
    const dataset = await newDataset();
    const fields = { dataset, requestId: randomUUID() };
    await write(fields);
    const reused = refused("InvalidArgument", "REQUEST_ID_REUSED", { request_id: fields.requestId });
    expect(await refusalOf(write(fields, true))).toEqual(reused);
    expect(await refusalOf(write({ ...fields, note: "another" }))).toEqual(reused);
    const otherCall = method === "DeleteItem" ? createItem : deleteItem;
    expect(await refusalOf(otherCall(fields))).toEqual(reused);
    expect(await latestVersion(dataset)).toBe(2n);
  });

  test("may be tried again under its request_id after an error", async () => {
    const dataset = await service.dataset();
    const fields = { dataset, requestId: randomUUID(), expectedVersion: 1n };
    const early = await write(fields).then(
      () => "succeeded",
      () => "failed",
    );
    await service.items.batchCreateItems({ dataset, items: [item("x", 1), item("y", 1)] });
    const { receipt } = await write(fields);
    // A DeleteItem without an item to delete succeeds, so its first answer stands.
    expect(receipt?.version).toBe(early === "failed" ? 2n : 0n);
  });

  test("keeps the note with the version, and chooses a request_id if there is none", async () => {
    const dataset = await newDataset();
    const { receipt } = await write({ dataset, note: "why" });
    const { version } = await service.datasets.getVersion({ dataset });
    expect(version).toMatchObject({ version: 2n, note: "why", requestId: receipt?.requestId });
    expect(receipt?.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("refuses a request_id that is not a UUID, a note that is too long, and a missing dataset", async () => {
    const dataset = await newDataset();
    expect(await refusalOf(write({ dataset, requestId: "x" }))).toEqual(invalid("request_id"));
    expect(await refusalOf(write({ dataset, note: "n".repeat(1025) }))).toEqual(invalid("note"));
    expect(await refusalOf(write({}))).toEqual(invalid("dataset"));
    const nowhere = { by: { case: "name", value: "nowhere" } } as const;
    expect(await refusalOf(write({ dataset: nowhere }))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { name: "nowhere" }),
    );
    expect(await latestVersion(dataset)).toBe(1n);
  });
});

describe.each([
  ["CreateItem", createItem],
  ["BatchCreateItems", batchCreateItems],
  ["BatchDeleteItems", batchDeleteItems],
])("expected_version of %s", (_, write) => {
  test("must be the latest version", async () => {
    const dataset = await newDataset();
    for (const expectedVersion of [0n, 2n]) {
      expect(await refusalOf(write({ dataset, expectedVersion }))).toEqual({
        code: "Aborted",
        reason: "VERSION_CONFLICT",
        metadata: { expected_version: String(expectedVersion), latest_version: "1" },
      });
    }
    expect(Object.keys(await service.read(dataset))).toEqual(["x", "y"]);
    expect((await write({ dataset, expectedVersion: 1n })).receipt?.version).toBe(2n);
  });

  test("is not negative", async () => {
    const dataset = await newDataset();
    expect(await refusalOf(write({ dataset, expectedVersion: -1n }))).toEqual(invalid("expected_version"));
  });

  test("lets exactly one of ten writers win", async () => {
    const dataset = await newDataset();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () => write({ dataset, expectedVersion: 1n })),
    );
    expect(outcomes.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    expect(await latestVersion(dataset)).toBe(2n);
  });

  test("does not matter to a repetition", async () => {
    const dataset = await newDataset();
    const fields = { dataset, requestId: randomUUID(), expectedVersion: 1n };
    const { receipt } = await write(fields);
    expect((await write(fields)).receipt).toEqual(receipt);
  });
});

test.each([
  ["UpdateItem", updateItem],
  ["DeleteItem", deleteItem],
])("expected_item_version of %s is not negative", async (_, write) => {
  const dataset = await newDataset();
  expect(await refusalOf(write({ dataset, expectedItemVersion: -1n }))).toEqual(
    invalid("expected_item_version"),
  );
});

describe("writes to one item at once", () => {
  test("of ten updates with one expected_item_version, exactly one wins", async () => {
    const dataset = await newDataset();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) =>
        service.items.updateItem({
          dataset,
          itemId: "x",
          patch: { inputJson: `"${n}"` },
          expectedItemVersion: 1n,
        }),
      ),
    );
    const won = outcomes.flatMap((one) => (one.status === "fulfilled" ? [one.value.item] : []));
    expect(won).toHaveLength(1);
    expect((await service.read(dataset)).x?.inputJson).toBe(won[0]?.inputJson);
    expect(await latestVersion(dataset)).toBe(2n);
  });

  test("twenty updates of different fields all take effect, a version each", async () => {
    const dataset = await newDataset();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        service.items.updateItem({
          dataset,
          itemId: "x",
          patch: n % 2 === 0 ? { inputJson: `${n + 100}` } : { metadataJson: `{"n":${n}}` },
        }),
      ),
    );
    const versions = answers.map((one) => Number(one.receipt?.version)).sort((one, other) => one - other);
    expect(versions).toEqual(Array.from({ length: 20 }, (_, n) => n + 2));
    const last = (await service.read(dataset)).x;
    expect(last?.inputJson).toMatch(/^1\d\d$/);
    expect(last?.metadataJson).toMatch(/^\{"n":\d+\}$/);
  });
});
