import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import {
  at,
  contentOf,
  countsOf,
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  numbered,
  plain,
  startItemService,
} from "./item-service.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

const full = {
  inputJson: '{"q":1}',
  expectedOutputJson: '"a"',
  metadataJson: '{"m":1}',
  splits: ["test", "train"],
};

/** A dataset whose item `x` has all members. */
const withFullItem = () => service.dataset({ itemId: "x", ...full });

const update = (dataset: DatasetRef, patch: ItemInit, paths?: string[]) =>
  service.items.updateItem({ dataset, itemId: "x", patch, ...(paths && { updateMask: { paths } }) });

async function get(dataset: DatasetRef, itemId = "x"): Promise<Item> {
  const { item: found } = await service.items.getItem({ dataset, itemId });
  if (found === undefined) throw new Error("the answer lacks the item");
  return plain(found);
}

describe("UpdateItem", () => {
  test.each<[string, ItemInit, string[] | undefined, object]>([
    ["the fields that are set, without a mask", { inputJson: "2" }, undefined, { ...full, inputJson: "2" }],
    ["the fields that are set, with an empty mask", { splits: ["dev"] }, [], { ...full, splits: ["dev"] }],
    [
      "an expected output that is null",
      { expectedOutputJson: "null" },
      undefined,
      { ...full, expectedOutputJson: "null" },
    ],
    [
      "the fields that the mask names, and nothing else",
      { inputJson: "2", metadataJson: "{}" },
      ["metadata_json"],
      { ...full, metadataJson: "{}" },
    ],
    [
      "the absence of fields that the mask names and the patch lacks",
      {},
      ["expected_output_json", "metadata_json", "splits"],
      { inputJson: full.inputJson, expectedOutputJson: undefined, metadataJson: "", splits: [] },
    ],
    [
      "all of the patch for *",
      { inputJson: "2" },
      ["*"],
      { inputJson: "2", expectedOutputJson: undefined, metadataJson: "", splits: [] },
    ],
    ["splits once and in order", { splits: ["b", "a", "b"] }, undefined, { ...full, splits: ["a", "b"] }],
  ])("applies %s", async (_, patch, paths, expected) => {
    const dataset = await withFullItem();
    const { item: changed, receipt } = await update(dataset, patch, paths);
    expect(contentOf(changed)).toEqual(expected);
    expect(countsOf(receipt)).toBe("c0 u1 n0 d0");
    expect(receipt).toMatchObject({ version: 2n, noOp: false, itemCount: 1n });
    expect(changed).toMatchObject({ version: 2n, updateTime: receipt?.publishTime });
    expect(changed && plain(changed)).toEqual(await get(dataset));
    expect(contentOf((await service.read(dataset, 1n)).x)).toEqual(full);
  });

  test.each<[string, ItemInit, string[] | undefined]>([
    ["content that is the same", { ...full }, undefined],
    ["content that is only spelled otherwise", { inputJson: '{ "q" : 1.0 }' }, undefined],
    ["splits in another order", { splits: ["train", "test", "train"] }, undefined],
    ["all fields as they are", { ...full }, ["*"]],
  ])("makes no version of %s", async (_, patch, paths) => {
    const dataset = await withFullItem();
    const before = await get(dataset);
    const { item: after, receipt } = await update(dataset, patch, paths);
    expect(receipt).toMatchObject({ noOp: true, version: 1n });
    expect(countsOf(receipt)).toBe("c0 u0 n1 d0");
    expect(after && plain(after)).toEqual(before);
  });

  test.each<[string, ItemInit | undefined, string[] | undefined, string]>([
    ["no patch", undefined, ["splits"], "patch"],
    ["a patch that changes nothing", {}, undefined, "update_mask"],
    ["a patch of fields that cannot be changed", { itemId: "y" }, undefined, "update_mask"],
    ["a mask with another field", { inputJson: "2" }, ["item_id"], "update_mask"],
    ["a mask in camelCase", { inputJson: "2" }, ["inputJson"], "update_mask"],
    ["an input that is cleared", {}, ["input_json"], "patch.input_json"],
    ["everything cleared", {}, ["*"], "patch.input_json"],
    ["a split that is too long", { splits: ["s".repeat(129)] }, undefined, "patch.splits"],
  ])("refuses %s", async (_, patch, paths, field) => {
    const dataset = await withFullItem();
    const call = service.items.updateItem({
      dataset,
      itemId: "x",
      ...(patch && { patch }),
      ...(paths && { updateMask: { paths } }),
    });
    expect(await refusalOf(call)).toEqual(invalid(field));
  });

  test("checks payloads and the hash of the result", async () => {
    const dataset = await withFullItem();
    expect(await refusalOf(update(dataset, { metadataJson: '"m"' }))).toEqual(
      refused("InvalidArgument", "INVALID_JSON", { item_id: "x", path: "$.metadata" }),
    );
    const { contentHash } = await get(dataset);
    expect(await refusalOf(update(dataset, { inputJson: "2", contentHash }))).toEqual(
      refused("InvalidArgument", "CONTENT_HASH_MISMATCH", {
        item_id: "x",
        given: Buffer.from(contentHash).toString("hex"),
      }),
    );
    const { item: same } = await update(dataset, { splits: ["dev"], contentHash });
    expect(same?.splits).toEqual(["dev"]);
  });

  test("fails where there is no such item, also after its deletion", async () => {
    const dataset = await withFullItem();
    const missing = (version: string) =>
      refused("NotFound", "ITEM_NOT_FOUND", { dataset_id: dataset.by.value, item_id: "x", version });
    await service.items.deleteItem({ dataset, itemId: "x" });
    expect(await refusalOf(update(dataset, { inputJson: "2" }))).toEqual(missing("2"));
    const call = service.items.updateItem({ dataset, itemId: "", patch: { inputJson: "2" } });
    expect(await refusalOf(call)).toEqual(invalid("item_id"));
  });

  test("enforces expected_item_version, which only this item moves", async () => {
    const dataset = await withFullItem();
    await service.items.createItem({ dataset, item: item("y", 1) });
    const attempt = (expectedItemVersion: bigint) =>
      service.items.updateItem({ dataset, itemId: "x", patch: { inputJson: "2" }, expectedItemVersion });
    expect(await refusalOf(attempt(2n))).toEqual({
      code: "Aborted",
      reason: "VERSION_CONFLICT",
      metadata: { expected_version: "2", latest_version: "1", item_id: "x" },
    });
    expect((await attempt(1n)).item?.version).toBe(3n);
  });
});

describe("splits", () => {
  test("are versioned with the item and found at every version, under the same hash", async () => {
    const dataset = await service.dataset(
      item("x", 1, { splits: ["train"] }),
      item("y", 1, { splits: ["train"] }),
    );
    const { contentHash } = await get(dataset);
    const { receipt } = await update(dataset, { splits: ["test", "hard", "test"] });
    expect(countsOf(receipt)).toBe("c0 u1 n0 d0");
    expect(receipt).toMatchObject({ version: 2n, noOp: false });
    expect(await get(dataset)).toMatchObject({ splits: ["hard", "test"], contentHash, version: 2n });
    expect((await update(dataset, { splits: ["test", "hard"] })).receipt).toMatchObject({
      noOp: true,
      version: 2n,
    });
    await update(dataset, {}, ["splits"]);

    const found = async (version: bigint, ...splits: string[]) => {
      const request = { dataset, at: at(version), splits };
      const { items } = await service.items.listItems(request);
      const streamed: Item[] = [];
      for await (const { frame } of service.items.streamItems(request)) {
        if (frame.case === "batch") streamed.push(...frame.value.items);
      }
      expect(streamed.map(plain)).toEqual(items.map(plain));
      return items.map((one) => one.itemId);
    };
    expect(await found(1n, "train")).toEqual(["x", "y"]);
    expect(await found(1n, "hard")).toEqual([]);
    expect(await found(2n, "train")).toEqual(["y"]);
    expect(await found(2n, "hard", "none")).toEqual(["x"]);
    expect(await found(3n, "hard", "test")).toEqual([]);
    expect(await found(3n)).toEqual(["x", "y"]);
  });
});

describe("DeleteItem", () => {
  test("deletes the item from the latest version only", async () => {
    const dataset = await withFullItem();
    const { receipt } = await service.items.deleteItem({ dataset, itemId: "x" });
    expect(receipt).toMatchObject({ version: 2n, itemCount: 0n, noOp: false, counts: { received: 0n } });
    expect(countsOf(receipt)).toBe("c0 u0 n0 d1");
    expect(await service.read(dataset)).toEqual({});
    expect(contentOf((await service.read(dataset, 1n)).x)).toEqual(full);
  });

  test("does nothing where there is no such item", async () => {
    const dataset = await withFullItem();
    await service.items.deleteItem({ dataset, itemId: "x" });
    for (const itemId of ["x", "never"]) {
      const { receipt } = await service.items.deleteItem({ dataset, itemId });
      expect(receipt).toMatchObject({ noOp: true, version: 2n, itemCount: 0n });
    }
    expect(await refusalOf(service.items.deleteItem({ dataset }))).toEqual(invalid("item_id"));
  });

  test("enforces expected_item_version", async () => {
    const dataset = await withFullItem();
    await update(dataset, { inputJson: "2" });
    const attempt = (itemId: string, expectedItemVersion: bigint) =>
      service.items.deleteItem({ dataset, itemId, expectedItemVersion });
    const conflict = (latest: string) =>
      refused("Aborted", "VERSION_CONFLICT", { expected_version: "1", latest_version: latest });
    expect(await refusalOf(attempt("x", 1n))).toEqual(conflict("2"));
    expect(await refusalOf(attempt("never", 1n))).toEqual(conflict("0"));
    expect(countsOf((await attempt("x", 2n)).receipt)).toBe("c0 u0 n0 d1");
  });
});

describe("BatchDeleteItems", () => {
  const deleteAll = (dataset: DatasetRef, itemIds: string[]) =>
    service.items.batchDeleteItems({ dataset, itemIds });

  test("deletes the existing items, and names the others, each once and in order", async () => {
    const dataset = await service.dataset(...numbered(5));
    const ids = ["z", "k001", "k003", "a", "k001", "z"];
    const { missingItemIds, receipt } = await deleteAll(dataset, ids);
    expect(missingItemIds).toEqual(["z", "a"]);
    expect(countsOf(receipt)).toBe("c0 u0 n0 d2");
    expect(receipt).toMatchObject({ version: 2n, itemCount: 3n });
    expect(Object.keys(await service.read(dataset))).toEqual(["k000", "k002", "k004"]);
    const again = await deleteAll(dataset, ids);
    expect(again.missingItemIds).toEqual(["z", "k001", "k003", "a"]);
    expect(again.receipt).toMatchObject({ noOp: true, version: 2n, itemCount: 3n });
  });

  test("takes 1,000 ids, and none", async () => {
    const dataset = await service.dataset(...numbered(1000));
    expect((await deleteAll(dataset, [])).receipt).toMatchObject({ noOp: true, version: 1n });
    const ids = numbered(1001).map((one) => one.itemId ?? "");
    expect(await refusalOf(deleteAll(dataset, ids))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_batch_size", received: "1001" }),
    );
    const { missingItemIds, receipt } = await deleteAll(dataset, ids.slice(0, 1000));
    expect(missingItemIds).toEqual([]);
    expect(receipt).toMatchObject({ itemCount: 0n, counts: { deleted: 1000n } });
  });

  test("refuses ids that no item can have", async () => {
    const dataset = await service.dataset();
    expect(await refusalOf(deleteAll(dataset, ["a", ""]))).toEqual(invalid("item_ids[1]"));
    expect(await refusalOf(deleteAll(dataset, ["a\n"]))).toEqual(invalid("item_ids[0]"));
  });
});

describe("the version and times of an item", () => {
  test("follow its updates, its deletion and its return", async () => {
    const dataset = await service.dataset(item("x", 1), item("y", 1));
    const created = await get(dataset);
    expect(created).toMatchObject({ version: 1n, updateTime: created.createTime });

    await service.items.updateItem({ dataset, itemId: "y", patch: { inputJson: "2" } });
    expect(await get(dataset)).toEqual(created);

    const { receipt: updated } = await update(dataset, { inputJson: "2" });
    expect(await get(dataset)).toMatchObject({
      version: 3n,
      createTime: created.createTime,
      updateTime: updated?.publishTime,
    });
    const { receipt: split } = await service.upserts.upsertItems({
      dataset,
      items: [item("x", 2, { splits: ["train"] })],
    });
    expect(await get(dataset)).toMatchObject({
      version: 4n,
      createTime: created.createTime,
      updateTime: split?.publishTime,
    });

    await service.items.deleteItem({ dataset, itemId: "x" });
    const { receipt: back } = await service.items.createItem({ dataset, item: item("x", 1) });
    expect(await get(dataset)).toMatchObject({
      version: 6n,
      createTime: back?.publishTime,
      updateTime: back?.publishTime,
    });
    expect((await service.read(dataset, 1n)).x).toEqual(created);
    expect((await service.read(dataset, 5n)).x).toBeUndefined();
  });

  test("even when a row without an id moved it to other splits", async () => {
    const dataset = await service.dataset(item("x", 1));
    const created = await get(dataset);
    const { receipt } = await service.upserts.upsertItems({
      dataset,
      items: [item("", 1, { splits: ["train"] })],
    });
    expect(await get(dataset)).toMatchObject({
      version: 2n,
      splits: ["train"],
      createTime: created.createTime,
      updateTime: receipt?.publishTime,
    });
  });
});
