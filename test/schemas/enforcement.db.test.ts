import { randomUUID } from "node:crypto";
import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { UpdateDatasetRequestSchema } from "../../gen/itembank/v1/dataset_service_pb.js";
import { IfExists } from "../../gen/itembank/v1/item_service_pb.js";
import { Receipt_State } from "../../gen/itembank/v1/receipt_pb.js";
import { contentHash } from "../../src/items/content-hash.ts";
import {
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  numbered,
  startItemService,
} from "../items/item-service.ts";
import { faultyFieldsOf, refusalOf, refused } from "../support/refusal.ts";
import { batch, commit, type Frame, open, receiptOf, send } from "../upsert/streaming.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

const numbers = '{"type":"number"}';
const strings = '{"type":"string"}';

type Update = Pick<
  Exclude<MessageInitShape<typeof UpdateDatasetRequestSchema>, Message>,
  "patch" | "updateMask"
>;

const update = (dataset: DatasetRef, request: Update) =>
  service.datasets.updateDataset({ ...request, dataset });
const setSchema = (dataset: DatasetRef, inputSchemaJson: string) =>
  update(dataset, { patch: { inputSchemaJson }, updateMask: { paths: ["input_schema_json"] } });
const upsert = (dataset: DatasetRef, items: ItemInit[], options = {}) =>
  service.upserts.upsertItems({ dataset, items, options });
const violation = (facts: Record<string, unknown>) => refused("InvalidArgument", "SCHEMA_VIOLATION", facts);
const named = (name: string) => ({ by: { case: "name", value: name } }) as const;

/** A dataset of items that are numbers. */
async function ofNumbers(...items: ItemInit[]): Promise<DatasetRef> {
  const dataset = await service.dataset(...items);
  await setSchema(dataset, numbers);
  return dataset;
}

async function headOf(dataset: DatasetRef): Promise<bigint | undefined> {
  return (await service.datasets.getDataset({ dataset })).dataset?.latestVersion;
}

/** Offers of items with these contents. */
function offer(offset: number, items: ItemInit[]): Frame {
  const entries = items.map(({ itemId = "", inputJson: input = "", splits = [] }) => ({
    itemId,
    contentHash: contentHash({ input, expectedOutput: undefined, metadata: undefined }),
    splits,
  }));
  return { case: "offer", value: { offset: BigInt(offset), entries } };
}

describe("a row that violates the schema of its dataset", () => {
  const bad = item("bad", "x");
  const facts = {
    index: "0",
    item_id: "bad",
    path: "$.input",
    keyword: "type",
    problem: "is not of type number",
  };

  test.each<[string, field: string, write: (dataset: DatasetRef) => Promise<unknown>]>([
    ["CreateItem", "item.input_json", (dataset) => service.items.createItem({ dataset, item: bad })],
    [
      "BatchCreateItems",
      "items[0].input_json",
      (dataset) => service.items.batchCreateItems({ dataset, items: [bad, item("good", 1)] }),
    ],
    ["UpsertItems", "items[0].input_json", (dataset) => upsert(dataset, [bad])],
    [
      "UpsertItems with validate_only",
      "items[0].input_json",
      (dataset) => upsert(dataset, [bad], { validateOnly: true }),
    ],
    [
      "a batch of StreamUpsertItems",
      "batch.items[0].input_json",
      (dataset) => send(service.upserts, [open({ dataset, requestId: randomUUID() }), batch(0, [bad])]),
    ],
    [
      "a body that StreamUpsertItems asked for",
      "supply.items[0].input_json",
      (dataset) =>
        send(service.upserts, [
          open({ dataset, requestId: randomUUID() }),
          offer(0, [bad]),
          { case: "supply", value: { items: [bad] } },
        ]),
    ],
  ])("is refused by %s, and nothing is written", async (_, field, write) => {
    const dataset = await ofNumbers();
    expect(await refusalOf(write(dataset))).toEqual(violation(facts));
    expect(await faultyFieldsOf(write(dataset))).toEqual([field]);
    expect(await headOf(dataset)).toBe(0n);
  });

  test("is refused by UpdateItem", async () => {
    const dataset = await ofNumbers(item("bad", 1));
    const call = () => service.items.updateItem({ dataset, itemId: "bad", patch: { inputJson: '"x"' } });
    expect(await refusalOf(call())).toEqual(violation(facts));
    expect(await faultyFieldsOf(call())).toEqual(["patch.input_json"]);
    expect(await headOf(dataset)).toBe(1n);
  });

  test("is reported with all others of the request and the place of each, and without an id if it has none", async () => {
    const dataset = await ofNumbers();
    const rows = [item("a", 1), item("", "x"), item("c", "x"), ...numbered(150, { inputJson: "null" })];
    const call = () => upsert(dataset, rows);
    const { metadata } = await refusalOf(call());
    expect(metadata).toEqual({
      index: "1",
      path: "$.input",
      keyword: "type",
      problem: "is not of type number",
      violation_count: "152",
    });
    const fields = await faultyFieldsOf(call());
    expect(fields.slice(0, 2)).toEqual(["items[1].input_json", "items[2].input_json"]);
  });

  test("is reported by its position in the whole import, however batches are written together", async () => {
    const dataset = await ofNumbers();
    const rows = Array.from({ length: 30 }, (_, n) => item(`k${n}`, n === 23 ? "x" : n));
    const frames = Array.from({ length: 10 }, (_, n) => batch(n * 3, rows.slice(n * 3, n * 3 + 3)));
    const call = () =>
      send(service.upserts, [open({ dataset, requestId: randomUUID() }), ...frames, commit(30)]);
    expect(await refusalOf(call())).toEqual(violation({ index: "23", item_id: "k23" }));
    expect(await faultyFieldsOf(call())).toEqual(["batch.items[2].input_json"]);
  });

  test("is one whose expected output violates its schema; absent ones are not checked, null is", async () => {
    const dataset = await service.dataset();
    await update(dataset, {
      patch: { expectedOutputSchemaJson: '{"properties":{"a":{"items":{"type":"string"}}}}' },
    });
    await upsert(dataset, [item("a", 1), item("b", 1, { expectedOutputJson: '{"a":["x"]}' })]);
    const call = upsert(dataset, [item("c", 1, { expectedOutputJson: '{"a":["x",2]}' })]);
    expect(await refusalOf(call)).toEqual(violation({ path: "$.expected_output.a[1]" }));
    await update(dataset, { patch: { expectedOutputSchemaJson: '{"type":"object"}' } });
    const missing = upsert(dataset, [item("c", 1, { expectedOutputJson: "null" })]);
    expect(await refusalOf(missing)).toEqual(violation({ path: "$.expected_output" }));
  });

  test("is checked against the schema of the dataset that the import is about to create", async () => {
    const dataset = named(`new ${randomUUID()}`);
    const newDataset = { inputSchemaJson: numbers };
    const call = (items: ItemInit[]) =>
      service.upserts.upsertItems({ dataset, items, options: { createIfMissing: true, newDataset } });
    expect(await refusalOf(call([bad]))).toEqual(violation(facts));
    expect((await refusalOf(service.datasets.getDataset({ dataset }))).reason).toBe("DATASET_NOT_FOUND");
    await call([item("good", 1)]);
    expect((await service.datasets.getDataset({ dataset })).dataset?.inputSchemaJson).toBe(numbers);
    expect(await refusalOf(service.items.createItem({ dataset, item: bad }))).toEqual(violation(facts));
  });
});

describe("a row that leaves the content unchanged", () => {
  test("is not checked: an existing item, new splits", async () => {
    const dataset = await ofNumbers(item("a", 1));
    const found = await service.items.createItem({
      dataset,
      item: item("a", 1),
      ifExists: IfExists.RETURN_IDENTICAL,
    });
    expect(found.receipt?.noOp).toBe(true);
    const updated = await service.items.updateItem({ dataset, itemId: "a", patch: { splits: ["train"] } });
    expect(updated.receipt?.version).toBe(2n);
    const receipt = await receiptOf(service.upserts, [
      open({ dataset, requestId: randomUUID() }),
      offer(0, [item("a", 1, { splits: ["test"] })]),
      commit(1),
    ]);
    expect(receipt.version).toBe(3n);
  });
});

describe("an import during which the schema changes", () => {
  /** Begins an import of these rows and leaves it open. */
  async function begin(dataset: DatasetRef, items: ItemInit[]): Promise<string> {
    const requestId = randomUUID();
    await send(service.upserts, [open({ dataset, requestId }), batch(0, items)]);
    return requestId;
  }
  const resume = (dataset: DatasetRef, requestId: string, ...frames: Frame[]) =>
    receiptOf(service.upserts, [open({ dataset, requestId }), ...frames]);

  test("is checked again when it commits, and stays open if rows violate the new one", async () => {
    const dataset = await service.dataset();
    const requestId = await begin(dataset, [item("a", 1), item("b", "x"), item("", "y")]);
    await setSchema(dataset, numbers);
    expect(await refusalOf(resume(dataset, requestId, commit(3)))).toEqual(
      violation({ path: "$.input", keyword: "type", violation_count: "2" }),
    );
    expect(await headOf(dataset)).toBe(0n);
    const { receipt } = await service.upserts.getUpsert({ dataset, requestId });
    expect(receipt?.state).toBe(Receipt_State.OPEN);
    await setSchema(dataset, '{"type":["number","string"]}');
    expect((await resume(dataset, requestId, commit(3))).version).toBe(1n);
  });

  test("is checked against the new one by a stream that began before the change", async () => {
    const dataset = await service.dataset();
    const requestId = randomUUID();
    const staged = Promise.withResolvers<void>();
    async function* requests() {
      yield { frame: open({ dataset, requestId }) };
      yield { frame: batch(0, [item("a", "x")]) };
      await staged.promise;
      await setSchema(dataset, numbers);
      yield { frame: batch(1, [item("b", "y")]) };
      yield { frame: commit(2) };
    }
    async function run() {
      for await (const { frame } of service.upserts.streamUpsertItems(requests())) {
        if (frame.case === "progress" && frame.value.nextOffset === 1n) staged.resolve();
      }
    }
    expect(await refusalOf(run())).toEqual(violation({ violation_count: "2" }));
  });

  test("checks earlier rows again, even if the schema is the one of the resumption again", async () => {
    const dataset = await ofNumbers();
    await setSchema(dataset, strings);
    const requestId = await begin(dataset, [item("a", "x")]);
    await setSchema(dataset, numbers);
    await send(service.upserts, [open({ dataset, requestId }), batch(1, [item("b", 1)])]);
    await setSchema(dataset, strings);
    expect(await refusalOf(resume(dataset, requestId, commit(2)))).toEqual(
      violation({ index: "1", item_id: "b" }),
    );
    await setSchema(dataset, numbers);
    expect(await refusalOf(resume(dataset, requestId, commit(2)))).toEqual(
      violation({ index: "0", item_id: "a" }),
    );
    await setSchema(dataset, "");
    expect((await resume(dataset, requestId, commit(2))).version).toBe(1n);
  });

  test("as a plan is checked again when it is applied", async () => {
    const dataset = await service.dataset();
    const { receipt } = await upsert(dataset, [item("a", "x")], { validateOnly: true });
    const requestId = receipt?.requestId ?? "";
    await setSchema(dataset, numbers);
    expect(await refusalOf(service.upserts.applyUpsert({ dataset, requestId }))).toEqual(
      violation({ item_id: "a" }),
    );
    expect((await service.upserts.getUpsert({ dataset, requestId })).receipt?.state).toBe(
      Receipt_State.PLANNED,
    );
    await setSchema(dataset, strings);
    expect((await service.upserts.applyUpsert({ dataset, requestId })).receipt?.version).toBe(1n);
  });

  test("does not undo by rebasing a correction made for the new one", async () => {
    const dataset = await service.dataset(item("a", "x"), item("b", 1));
    const requestId = randomUUID();
    // Finds a unchanged, so the import means the content that violates the coming schema.
    await send(service.upserts, [open({ dataset, requestId }), batch(0, [item("a", "x"), item("c", 3)])]);
    await upsert(dataset, [item("a", 2)]);
    await setSchema(dataset, numbers);
    expect(await refusalOf(resume(dataset, requestId, commit(2)))).toEqual(
      violation({ index: "0", item_id: "a" }),
    );
    expect(Object.values(await service.read(dataset)).map((one) => one.inputJson)).toEqual(["2", "1"]);
  });

  test("that offered only hashes is checked against the new one where it would change items", async () => {
    const dataset = await service.dataset(item("a", "x"));
    const requestId = randomUUID();
    const offered = offer(0, [item("a", "x", { splits: ["train"] })]);
    await send(service.upserts, [open({ dataset, requestId }), offered]);
    await upsert(dataset, [item("a", 1)]);
    await setSchema(dataset, numbers);
    expect(await refusalOf(resume(dataset, requestId, commit(1)))).toEqual(
      violation({ index: "0", item_id: "a" }),
    );
  });

  test("with 20 writers, whatever the order, never makes a version that violates the schema in force", async () => {
    const dataset = await service.dataset();
    const writes = Array.from(
      { length: 20 },
      (_, n) => () => upsert(dataset, [item(`k${n}`, n % 2 ? n : "x")]),
    );
    writes.splice(7, 0, async () => setSchema(dataset, numbers) as never);
    await Promise.allSettled(writes.map((write) => write()));
    const { dataset: after } = await service.datasets.getDataset({ dataset });
    const inputs = Object.values(await service.read(dataset)).map((one) => JSON.parse(one.inputJson));
    if (after?.inputSchemaJson) expect(inputs.filter((input) => typeof input !== "number")).toEqual([]);
    else expect(inputs).toContain("x");
  });
});

describe("a restored version", () => {
  test("is checked when it is published, because its items may be older than the schema", async () => {
    // RestoreVersion stages copies of older versions; such a write never counts as checked.
    const dataset = await service.dataset();
    const requestId = randomUUID();
    await send(service.upserts, [open({ dataset, requestId }), batch(0, [item("a", "x")])]);
    await setSchema(dataset, numbers);
    await service.pool.query(
      "update changesets set schema_hash = decode(repeat('00', 32), 'hex') where request_id = $1",
      [requestId],
    );
    const committed = receiptOf(service.upserts, [open({ dataset, requestId }), commit(1)]);
    expect(await refusalOf(committed)).toEqual(violation({ item_id: "a" }));
  });
});
