import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IfExists } from "../../gen/itembank/v1/item_service_pb.js";
import { faultyFieldsOf, invalid, type Refusal, refusalOf, refused } from "../support/refusal.ts";
import {
  contentOf,
  countsOf,
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  numbered,
  startItemService,
} from "./item-service.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

const create = (dataset: DatasetRef, one: ItemInit, ifExists = IfExists.UNSPECIFIED) =>
  service.items.createItem({ dataset, item: one, ifExists });
const createAll = (dataset: DatasetRef, items: ItemInit[], ifExists = IfExists.UNSPECIFIED) =>
  service.items.batchCreateItems({ dataset, items, ifExists });

const hashOfFour = "b40d637f2214d3567d3c2af64abb232a99725aaf8e846a46a7e9918c6fc2cafd";
const four = { inputJson: '{"q":"2+2?"}', expectedOutputJson: '"4"' };

describe("CreateItem", () => {
  test("makes a version and returns the item as later reads do", async () => {
    const dataset = await service.dataset();
    const { item: made, receipt } = await create(dataset, {
      itemId: "q1",
      ...four,
      metadataJson: '{"b":1.0, "a":2}',
      splits: ["train", "all", "train"],
    });
    expect(receipt).toMatchObject({ version: 1n, baseVersion: 0n, noOp: false, itemCount: 1n });
    expect(receipt?.receivedBytes).toBe(BigInt('{"q":"2+2?"}"4"{"b":1.0, "a":2}'.length));
    expect(countsOf(receipt)).toBe("c1 u0 n0 d0");
    expect(made).toMatchObject({ metadataJson: '{"b":1.0, "a":2}', splits: ["all", "train"], version: 1n });
    expect(made?.createTime).toEqual(receipt?.publishTime);
    expect(made?.updateTime).toEqual(receipt?.publishTime);
    expect((await service.items.getItem({ dataset, itemId: "q1" })).item).toEqual(made);
  });

  test("hashes as in the contract's example, and accepts the hash of a caller", async () => {
    const dataset = await service.dataset();
    const contentHash = Buffer.from(hashOfFour, "hex");
    const { item: made } = await create(dataset, { ...four, contentHash });
    expect(Buffer.from(made?.contentHash ?? []).toString("hex")).toBe(hashOfFour);
  });

  test("assigns ids that sort in the order of assignment", async () => {
    const dataset = await service.dataset();
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push((await create(dataset, item("", n))).item?.itemId ?? "");
    for (const id of ids) expect(id).toMatch(/^item[0-9a-z]{26}$/);
    expect([...ids].sort()).toEqual(ids);
  });

  test("creates an item without an id even if equal content exists", async () => {
    const dataset = await service.dataset(item("", 1));
    const { receipt } = await create(dataset, item("", 1));
    expect(countsOf(receipt)).toBe("c1 u0 n0 d0");
    expect(Object.keys(await service.read(dataset))).toHaveLength(2);
  });

  test("distinguishes absent, null and empty", async () => {
    const dataset = await service.dataset(
      item("absent", null),
      item("null", null, { expectedOutputJson: "null" }),
      item("empty", null, { metadataJson: "{}" }),
    );
    const read = await service.read(dataset);
    expect(contentOf(read.absent)).toMatchObject({ expectedOutputJson: undefined, metadataJson: "" });
    expect(contentOf(read.null)).toMatchObject({ expectedOutputJson: "null", metadataJson: "" });
    expect(contentOf(read.empty)).toMatchObject({ expectedOutputJson: undefined, metadataJson: "{}" });
  });

  test.each<[string, ItemInit, Refusal]>([
    ["an id of 256 bytes", item("x".repeat(256), 1), invalid("item.item_id")],
    ["an id with a control character", item("a\u0085b", 1), invalid("item.item_id")],
    ["33 splits", item("x", 1, { splits: numbered(33).map((n) => n.itemId ?? "") }), invalid("item.splits")],
    ["a split without a name", item("x", 1, { splits: [""] }), invalid("item.splits")],
    ["a split of 129 bytes", item("x", 1, { splits: ["é".repeat(65)] }), invalid("item.splits")],
    [
      "an item without input",
      { itemId: "x" },
      refused("InvalidArgument", "INVALID_JSON", { index: "0", item_id: "x", path: "$.input" }),
    ],
    [
      "metadata that is not an object",
      item("x", 1, { metadataJson: "[]" }),
      refused("InvalidArgument", "INVALID_JSON", { path: "$.metadata" }),
    ],
    [
      "an unsafe integer",
      item("x", 1, { expectedOutputJson: '{"a":[1,9007199254740993]}' }),
      refused("InvalidArgument", "INVALID_JSON", { path: "$.expected_output.a[1]" }),
    ],
    [
      "another hash",
      item("x", 1, { contentHash: Buffer.from(hashOfFour, "hex") }),
      refused("InvalidArgument", "CONTENT_HASH_MISMATCH", { index: "0", item_id: "x", given: hashOfFour }),
    ],
    [
      "more than 1 MiB",
      item("x", "x".repeat(1024 * 1024)),
      refused("InvalidArgument", "LIMIT_EXCEEDED", {
        limit: "max_item_bytes",
        maximum: "1048576",
        received: "1048578",
      }),
    ],
  ])("refuses %s", async (_, one, refusal) => {
    const dataset = await service.dataset();
    expect(await refusalOf(create(dataset, one))).toEqual(refusal);
    expect((await service.datasets.getDataset({ dataset })).dataset?.latestVersion).toBe(0n);
  });

  test("takes ids and payloads up to their limits", async () => {
    const dataset = await service.dataset();
    const largest = "x".repeat(1024 * 1024 - 2);
    const id = "é".repeat(127);
    const splits = numbered(32).map((n) => `${n.itemId}${"s".repeat(124)}`);
    await create(dataset, item(id, largest, { splits }));
    expect(contentOf((await service.read(dataset))[id])).toMatchObject({ inputJson: `"${largest}"`, splits });
  });

  test("names the field of an item whose id is in use", async () => {
    const dataset = await service.dataset(item("a", 1));
    expect(await faultyFieldsOf(create(dataset, item("a", 2)))).toEqual(["item.item_id"]);
  });

  test("refuses a request without dataset, item or a known if_exists", async () => {
    const dataset = await service.dataset();
    expect(await refusalOf(service.items.createItem({ item: item("x", 1) }))).toEqual(invalid("dataset"));
    expect(await refusalOf(service.items.createItem({ dataset }))).toEqual(invalid("item"));
    expect(await refusalOf(create(dataset, item("x", 1), 7 as IfExists))).toEqual(invalid("if_exists"));
  });
});

describe("BatchCreateItems", () => {
  test("creates all in one version and answers in the order of the request", async () => {
    const dataset = await service.dataset();
    const { items, receipt } = await createAll(dataset, [item("b", 1), item("", 2), item("a", 3)]);
    expect(items.map((one) => one.inputJson)).toEqual(["1", "2", "3"]);
    expect(items.map((one) => one.itemId)).toEqual(["b", expect.stringMatching(/^item/), "a"]);
    expect(receipt).toMatchObject({ version: 1n, itemCount: 3n, counts: { received: 3n, created: 3n } });
  });

  test("takes 1,000 items, and none: then nothing happens", async () => {
    const dataset = await service.dataset(...numbered(1000));
    expect((await service.datasets.getDataset({ dataset })).dataset?.itemCount).toBe(1000n);
    const { items, receipt } = await createAll(dataset, []);
    expect(items).toEqual([]);
    expect(receipt).toMatchObject({ noOp: true, version: 1n, itemCount: 1000n });
  });

  test("refuses more than 1,000 items, and more than 3 MiB", async () => {
    const dataset = await service.dataset();
    expect(await refusalOf(createAll(dataset, numbered(1001)))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_batch_size", received: "1001" }),
    );
    const large = ["a", "b", "c", "d"].map((id) => item(id, id.repeat(800 * 1024)));
    expect(await refusalOf(createAll(dataset, large))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_batch_bytes", maximum: "3145728" }),
    );
  });

  test("names all conflicts, the first in the metadata, and creates nothing", async () => {
    const dataset = await service.dataset(item("b", 1), item("d", 1));
    const call = () =>
      createAll(
        dataset,
        ["a", "b", "c", "d"].map((id) => item(id, 1)),
      );
    expect(await refusalOf(call())).toEqual(
      refused("AlreadyExists", "ITEM_EXISTS", {
        index: "1",
        item_id: "b",
        conflict: "exists",
        violation_count: "2",
      }),
    );
    expect(await faultyFieldsOf(call())).toEqual(["items[1].item_id", "items[3].item_id"]);
    expect(Object.keys(await service.read(dataset))).toEqual(["b", "d"]);
  });

  test("counts all conflicts, even those it does not list", async () => {
    const dataset = await service.dataset(...numbered(150));
    expect((await refusalOf(createAll(dataset, numbered(150)))).metadata.violation_count).toBe("150");
  });

  test("names all bad items, and creates nothing", async () => {
    const dataset = await service.dataset();
    const call = () =>
      createAll(dataset, [
        item("a", 1),
        { itemId: "b", inputJson: "{" },
        item("c\n", 1),
        item("d", 1, { metadataJson: "1" }),
      ]);
    expect(await refusalOf(call())).toEqual(
      refused("InvalidArgument", "INVALID_JSON", { index: "1", item_id: "b", violation_count: "3" }),
    );
    expect(await faultyFieldsOf(call())).toEqual([
      "items[1].input_json",
      "items[2].item_id",
      "items[3].metadata_json",
    ]);
    expect(await service.read(dataset)).toEqual({});
  });

  test("counts all bad items, even those it does not list", async () => {
    const dataset = await service.dataset();
    const bad = Array.from({ length: 120 }, () => ({ inputJson: "{" }));
    expect((await refusalOf(createAll(dataset, bad))).metadata.violation_count).toBe("120");
  });

  test("refuses two items with the same id, even if they are equal", async () => {
    const dataset = await service.dataset();
    expect(await refusalOf(createAll(dataset, [item("a", 1), item("b", 1), item("a", 1)]))).toEqual(
      refused("InvalidArgument", "DUPLICATE_ITEM_ID", { item_id: "a", first_index: "0", second_index: "2" }),
    );
  });
});

describe("an id that is in use", () => {
  /** `live` as created, `changed` since, `deleted`, and `back` with other content after a deletion. */
  async function history(): Promise<DatasetRef> {
    const dataset = await service.dataset(
      item("live", 1),
      item("changed", 1),
      item("deleted", 1),
      item("back", 1),
    );
    await service.items.updateItem({ dataset, itemId: "changed", patch: { inputJson: "2" } });
    await service.items.batchDeleteItems({ dataset, itemIds: ["deleted", "back"] });
    await create(dataset, item("back", 3));
    return dataset;
  }

  const conflict = (itemId: string, kind: string) =>
    refused("AlreadyExists", "ITEM_EXISTS", { index: "0", item_id: itemId, conflict: kind });

  test.each([IfExists.UNSPECIFIED, IfExists.FAIL])(
    "is refused, unless the item was deleted (%s)",
    async (fail) => {
      const dataset = await history();
      expect(await refusalOf(create(dataset, item("live", 1), fail))).toEqual(conflict("live", "exists"));
      expect(await refusalOf(create(dataset, item("changed", 1), fail))).toEqual(
        conflict("changed", "exists"),
      );
      const { item: back, receipt } = await create(dataset, item("deleted", 9), fail);
      expect(countsOf(receipt)).toBe("c1 u0 n0 d0");
      expect(back).toMatchObject({ inputJson: "9", version: receipt?.version });
    },
  );

  test("returns the item, as it is now, to the caller that created it with this content", async () => {
    const dataset = await history();
    const { latestVersion } = (await service.datasets.getDataset({ dataset })).dataset ?? {};
    for (const [itemId, sent, now] of [
      ["live", "1", "1"],
      ["changed", "1", "2"],
      ["back", "3", "3"],
    ] as const) {
      const answer = await create(
        dataset,
        { itemId, inputJson: sent, splits: ["other"] },
        IfExists.RETURN_IDENTICAL,
      );
      expect(contentOf(answer.item)).toMatchObject({ inputJson: now, splits: [] });
      expect(answer.receipt).toMatchObject({ noOp: true, version: latestVersion });
      expect(countsOf(answer.receipt)).toBe("c0 u0 n1 d0");
    }
  });

  test("is refused to other callers", async () => {
    const dataset = await history();
    const attempt = (itemId: string, input: unknown) =>
      refusalOf(create(dataset, item(itemId, input), IfExists.RETURN_IDENTICAL));
    expect(await attempt("live", 2)).toEqual(conflict("live", "content"));
    expect(await attempt("changed", 2)).toEqual(conflict("changed", "content"));
    expect(await attempt("back", 1)).toEqual(conflict("back", "content"));
    expect(await attempt("deleted", 1)).toEqual(conflict("deleted", "deleted"));
  });

  test("is free for a new item", async () => {
    const dataset = await history();
    const { receipt } = await create(dataset, item("new", 1), IfExists.RETURN_IDENTICAL);
    expect(countsOf(receipt)).toBe("c1 u0 n0 d0");
  });

  test("counts once if equal items of a batch share it", async () => {
    const dataset = await history();
    const batch = [item("new", 5), item("live", 1), item("new", 5), item("live", 1), item("", 5)];
    const { items, receipt } = await createAll(dataset, batch, IfExists.RETURN_IDENTICAL);
    expect(items.map((one) => one.itemId)).toEqual(["new", "live", "new", "live", expect.any(String)]);
    expect(countsOf(receipt)).toBe("c2 u0 n3 d0");
    expect(receipt?.counts?.received).toBe(5n);
    const again = await createAll(dataset, batch.slice(0, 4), IfExists.RETURN_IDENTICAL);
    expect(again.receipt).toMatchObject({ noOp: true, counts: { received: 4n, unchanged: 4n } });
  });

  test("is refused if the items as they are now would not fit into an answer", async () => {
    const ids = ["a", "b", "c", "d"];
    const dataset = await service.dataset(...ids.map((id) => item(id, 1)));
    for (const itemId of ids) {
      await service.items.updateItem({ dataset, itemId, patch: { inputJson: `"${"x".repeat(1_047_000)}"` } });
    }
    const batch = ids.map((id) => item(id, 1));
    const { items } = await createAll(dataset, batch.slice(0, 3), IfExists.RETURN_IDENTICAL);
    expect(items.map((one) => one.inputJson.length)).toEqual([1_047_002, 1_047_002, 1_047_002]);
    const tooMuch = [...batch, item("new", 1), item("new 2", "x".repeat(10_000))];
    expect(await refusalOf(createAll(dataset, tooMuch, IfExists.RETURN_IDENTICAL))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_message_bytes", maximum: "4194304" }),
    );
    const shared = Array.from({ length: 5 }, () => item("a", 1));
    expect((await refusalOf(createAll(dataset, shared, IfExists.RETURN_IDENTICAL))).reason).toBe(
      "LIMIT_EXCEEDED",
    );
    expect(Object.keys(await service.read(dataset))).toEqual(ids);
  });

  test("is refused if different items of a batch share it", async () => {
    const dataset = await history();
    const batch = [item("new", 5), item("", 1), item("new", 6)];
    expect(await refusalOf(createAll(dataset, batch, IfExists.RETURN_IDENTICAL))).toEqual(
      refused("InvalidArgument", "DUPLICATE_ITEM_ID", {
        item_id: "new",
        first_index: "0",
        second_index: "2",
      }),
    );
  });

  test("refuses the whole batch, with every kind of conflict named", async () => {
    const dataset = await history();
    const batch = [item("new", 1), item("deleted", 1), item("live", 1), item("changed", 3)];
    const call = () => createAll(dataset, batch, IfExists.RETURN_IDENTICAL);
    expect(await refusalOf(call())).toEqual(
      refused("AlreadyExists", "ITEM_EXISTS", { index: "1", conflict: "deleted", violation_count: "2" }),
    );
    expect(await faultyFieldsOf(call())).toEqual(["items[1].item_id", "items[3].item_id"]);
    expect(Object.keys(await service.read(dataset))).toEqual(["back", "changed", "live"]);
  });
});
