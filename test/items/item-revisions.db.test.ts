import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChangeKind, type ItemRevision } from "../../gen/itembank/v1/item_pb.js";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import {
  at,
  type DatasetRef,
  type ItemServiceUnderTest,
  item,
  plain,
  startItemService,
} from "./item-service.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

const list = (dataset: DatasetRef, itemId: string, more: { pageSize?: number; pageToken?: string } = {}) =>
  service.items.listItemRevisions({ dataset, itemId, ...more });

const merge = (dataset: DatasetRef, input: unknown, note = "") =>
  service.upserts.upsertItems({ dataset, items: [item("x", input)], options: { note } });

/** An entry in short: `3 UPDATED 2`. */
const inShort = ({ version, kind, item: one }: ItemRevision) =>
  `${version} ${ChangeKind[kind]} ${one?.inputJson ?? "-"}`;

/** `x` created, changed, left alone, deleted, brought back and changed back. */
async function withHistory(): Promise<DatasetRef> {
  const dataset = await service.dataset(item("x", 1), item("y", 1));
  await merge(dataset, 2, "corrected");
  await service.items.createItem({ dataset, item: item("z", 1) });
  await service.items.deleteItem({ dataset, itemId: "x", note: "wrong" });
  await merge(dataset, 2);
  await merge(dataset, 1);
  return dataset;
}

describe("ListItemRevisions", () => {
  test("lists the changes of an item, newest first, with its deletion and its revival", async () => {
    const { revisions, nextPageToken } = await list(await withHistory(), "x");
    expect(revisions.map(inShort)).toEqual([
      "6 UPDATED 1",
      "5 CREATED 2",
      "4 DELETED -",
      "2 UPDATED 2",
      "1 CREATED 1",
    ]);
    expect(nextPageToken).toBe("");
  });

  test("has the time, note and author of each version, and the item as GetItem returns it there", async () => {
    const dataset = await withHistory();
    const { revisions } = await list(dataset, "x");
    expect(revisions.map((one) => one.note)).toEqual(["", "", "wrong", "corrected", ""]);
    for (const { version, item: one, createTime, note, author } of revisions) {
      const made = (await service.datasets.getVersion({ dataset, at: at(version) })).version;
      expect({ createTime, note, author }).toEqual({
        createTime: made?.createTime,
        note: made?.note,
        author: made?.author,
      });
      if (one === undefined) continue;
      const read = await service.items.getItem({ dataset, itemId: "x", at: at(version) });
      expect(read.item && plain(read.item)).toEqual(plain(one));
    }
    // A revival resets the creation time; a change does not.
    const times = revisions.map((one) => one.item?.createTime);
    expect(times).toEqual([
      revisions[1]?.createTime,
      revisions[1]?.createTime,
      undefined,
      revisions[4]?.createTime,
      revisions[4]?.createTime,
    ]);
  });

  test.each([1, 2, 4, 5, 6])(
    "returns each entry once in pages of %i, while others write",
    async (pageSize) => {
      const dataset = await withHistory();
      const listed: string[] = [];
      for (let pageToken = "", input = 10; ; input++) {
        const page = await list(dataset, "x", { pageSize, pageToken });
        expect(page.revisions.length).toBeLessThanOrEqual(pageSize);
        listed.push(...page.revisions.map(inShort));
        if (page.nextPageToken === "") break;
        pageToken = page.nextPageToken;
        await merge(dataset, input);
      }
      expect(listed.map((one) => one[0])).toEqual(["6", "5", "4", "2", "1"]);
    },
  );

  test("puts 50 on a page by default", async () => {
    const dataset = await service.dataset(item("x", 0));
    for (let input = 1; input <= 50; input++) await merge(dataset, input);
    const first = await list(dataset, "x");
    expect(first.revisions.map((one) => one.version)).toEqual(
      Array.from({ length: 50 }, (_, n) => BigInt(51 - n)),
    );
    const { revisions } = await list(dataset, "x", { pageToken: first.nextPageToken });
    expect(revisions.map(inShort)).toEqual(["1 CREATED 0"]);
    expect(await refusalOf(list(dataset, "x", { pageSize: -1 }))).toEqual(invalid("page_size"));
  });

  test("bounds pages of large items by their size", async () => {
    const dataset = await service.dataset(item("x", "0".repeat(1_000_000)));
    for (const digit of ["1", "2", "3", "4", "5", "6"]) await merge(dataset, digit.repeat(1_000_000));
    const pages: bigint[][] = [];
    for (let pageToken = ""; ; ) {
      const page = await list(dataset, "x", { pageSize: 1000, pageToken });
      pages.push(page.revisions.map((one) => one.version));
      if (page.nextPageToken === "") break;
      pageToken = page.nextPageToken;
    }
    expect(pages).toEqual([[7n, 6n, 5n], [4n, 3n, 2n], [1n]]);
  });

  test("shows changes of splits, but no writes that changed nothing or are only planned", async () => {
    const dataset = await service.dataset(item("x", 1, { splits: ["train"] }));
    await merge(dataset, 1);
    await service.upserts.upsertItems({
      dataset,
      items: [item("x", 9)],
      options: { validateOnly: true },
      requestId: randomUUID(),
    });
    await service.upserts.upsertItems({ dataset, items: [item("x", 1, { splits: ["test"] })] });
    const { revisions } = await list(dataset, "x");
    expect(revisions.map((one) => [inShort(one), one.item?.splits])).toEqual([
      ["2 UPDATED 1", ["test"]],
      ["1 CREATED 1", ["train"]],
    ]);
  });

  test("orders by version when a write that began early was published late", async () => {
    const dataset = await service.dataset(item("x", 1));
    const requestId = randomUUID();
    await service.upserts.upsertItems({
      dataset,
      items: [item("x", 2)],
      options: { validateOnly: true },
      requestId,
    });
    await service.items.deleteItem({ dataset, itemId: "x" });
    await merge(dataset, 3);
    await service.upserts.applyUpsert({ dataset, requestId, allowRebase: true });
    expect((await list(dataset, "x")).revisions.map(inShort)).toEqual([
      "4 UPDATED 2",
      "3 CREATED 3",
      "2 DELETED -",
      "1 CREATED 1",
    ]);
  });

  test("knows items that are deleted now, and fails for one that never existed", async () => {
    const dataset = await service.dataset(item("x", 1));
    await service.items.deleteItem({ dataset, itemId: "x" });
    expect((await list(dataset, "x")).revisions.map(inShort)).toEqual(["2 DELETED -", "1 CREATED 1"]);
    const other = await service.dataset(item("y", 1));
    expect(await refusalOf(list(other, "x"))).toEqual(
      refused("NotFound", "ITEM_NOT_FOUND", { dataset_id: other.by.value, item_id: "x", version: "1" }),
    );
  });

  test("refuses tokens of other arguments and calls, and garbage", async () => {
    const dataset = await withHistory();
    const { nextPageToken: pageToken } = await list(dataset, "x", { pageSize: 1 });
    const items = await service.items.listItems({ dataset, pageSize: 1 });
    const other = await withHistory();
    for (const call of [
      () => list(dataset, "y", { pageToken }),
      () => list(other, "x", { pageToken }),
      () => list(dataset, "x", { pageToken: items.nextPageToken }),
      () => list(dataset, "x", { pageToken: `${pageToken}AAAA` }),
      () => list(dataset, "x", { pageToken: "garbage" }),
    ]) {
      expect(await refusalOf(call())).toEqual(
        refused("InvalidArgument", "INVALID_PAGE_TOKEN", { field: "page_token" }),
      );
    }
  });

  test("refuses a request without dataset or item, and a dataset that does not exist", async () => {
    const dataset = await service.dataset(item("x", 1));
    expect(await refusalOf(service.items.listItemRevisions({ itemId: "x" }))).toEqual(invalid("dataset"));
    expect(await refusalOf(list(dataset, ""))).toEqual(invalid("item_id"));
    expect(await refusalOf(list(dataset, "a\nb"))).toEqual(invalid("item_id"));
    const nowhere = { by: { case: "datasetId", value: "data00000000000000000000000000" } } as const;
    expect(await refusalOf(list(nowhere, "x"))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { dataset_id: nowhere.by.value }),
    );
  });
});
