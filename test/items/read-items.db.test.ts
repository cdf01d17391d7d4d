import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Item, ItemView } from "../../gen/itembank/v1/item_pb.js";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import {
  at,
  contentOf,
  type DatasetRef,
  type ItemServiceUnderTest,
  item,
  key,
  numbered,
  plain,
  startItemService,
} from "./item-service.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

type ListRequest = Parameters<ItemServiceUnderTest["items"]["listItems"]>[0];

/** Reads all pages of a listing; `between` runs after each. */
async function listAll(request: ListRequest, between: () => Promise<unknown> = async () => undefined) {
  const pages: Item[][] = [];
  let pageToken = "";
  do {
    const page = await service.items.listItems({ ...request, pageToken });
    pages.push(page.items.map(plain));
    pageToken = page.nextPageToken;
    await between();
  } while (pageToken !== "");
  return pages;
}

const idsOf = (items: readonly Item[]) => items.map((one) => one.itemId);

/** Two versions, the second of which replaced `x`, dropped `y` and added `z`. */
async function twoVersions(): Promise<DatasetRef> {
  const dataset = await service.dataset(item("x", 1), item("y", 1));
  await service.upserts.upsertItems({
    dataset,
    items: [item("x", 2), item("z", 2)],
    options: { mode: 2 },
  });
  return dataset;
}

describe("GetItem", () => {
  test("reads the latest version by default", async () => {
    const dataset = await twoVersions();
    const latest = await service.items.getItem({ dataset, itemId: "x" });
    expect(latest).toMatchObject({ version: 2n, item: { inputJson: "2", version: 2n } });
    for (const selector of [{}, at(2n)]) {
      expect(await service.items.getItem({ dataset, itemId: "x", at: selector })).toEqual(latest);
    }
  });

  test("reads an older version by number, by tag and by time", async () => {
    const dataset = await twoVersions();
    await service.datasets.tagVersion({ dataset, tag: "first", at: at(1n) });
    const { version } = await service.datasets.getVersion({ dataset, at: at(1n) });
    const time = version?.createTime ?? { seconds: 0n, nanos: 0 };
    for (const selector of [
      at(1n),
      { by: { case: "tag", value: "first" } } as const,
      { by: { case: "asOf", value: time } } as const,
    ]) {
      const answer = await service.items.getItem({ dataset, itemId: "y", at: selector });
      expect(answer).toMatchObject({ version: 1n, item: { inputJson: "1", version: 1n } });
    }
  });

  test("reads a dataset by its name", async () => {
    const dataset = await service.dataset(item("x", 1));
    const { name } = (await service.datasets.getDataset({ dataset })).dataset ?? {};
    const byName = { by: { case: "name", value: name ?? "" } } as const;
    expect((await service.items.getItem({ dataset: byName, itemId: "x" })).item?.inputJson).toBe("1");
  });

  test("fails if the version does not have the item", async () => {
    const dataset = await twoVersions();
    const missing = (itemId: string, version: string) =>
      refused("NotFound", "ITEM_NOT_FOUND", { dataset_id: dataset.by.value, item_id: itemId, version });
    expect(await refusalOf(service.items.getItem({ dataset, itemId: "y" }))).toEqual(missing("y", "2"));
    expect(await refusalOf(service.items.getItem({ dataset, itemId: "z", at: at(1n) }))).toEqual(
      missing("z", "1"),
    );
    expect(await refusalOf(service.items.getItem({ dataset, itemId: "x", at: at(0n) }))).toEqual(
      missing("x", "0"),
    );
  });

  test("fails if there is no such version, tag or dataset", async () => {
    const dataset = await twoVersions();
    for (const version of [3n, -1n]) {
      expect(await refusalOf(service.items.getItem({ dataset, itemId: "x", at: at(version) }))).toEqual(
        refused("NotFound", "VERSION_NOT_FOUND", { version: String(version), latest_version: "2" }),
      );
    }
    const tagged = { by: { case: "tag", value: "nobody" } } as const;
    expect(await refusalOf(service.items.getItem({ dataset, itemId: "x", at: tagged }))).toEqual(
      refused("NotFound", "TAG_NOT_FOUND", { dataset_id: dataset.by.value, tag: "nobody" }),
    );
    const nowhere = { by: { case: "name", value: "nowhere" } } as const;
    expect(await refusalOf(service.items.getItem({ dataset: nowhere, itemId: "x" }))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { name: "nowhere" }),
    );
  });

  test("refuses a request without dataset or item", async () => {
    const dataset = await service.dataset();
    expect(await refusalOf(service.items.getItem({ itemId: "x" }))).toEqual(invalid("dataset"));
    expect(await refusalOf(service.items.getItem({ dataset, itemId: "" }))).toEqual(invalid("item_id"));
    expect(await refusalOf(service.items.getItem({ dataset, itemId: "a\nb" }))).toEqual(invalid("item_id"));
  });
});

describe("ListItems", () => {
  test.each([1, 2, 6, 7, 8])("lists 7 items in pages of %i, each once, in byte order", async (pageSize) => {
    // U+FF5E sorts before U+1F600 by bytes, and after it by UTF-16 units.
    const ids = ["A", "a", "a!", "é", "\u{ff5e}", "\u{1f600}", "zz"];
    const dataset = await service.dataset(...ids.map((id) => item(id, id)));
    const pages = await listAll({ dataset, pageSize });
    expect(idsOf(pages.flat())).toEqual(["A", "a", "a!", "zz", "é", "\u{ff5e}", "\u{1f600}"]);
    expect(pages.map((page) => page.length)).toEqual(
      Array.from({ length: Math.ceil(7 / pageSize) }, (_, n) => Math.min(pageSize, 7 - n * pageSize)),
    );
  });

  test("puts 50 on a page by default, and never more than 1,000", async () => {
    const dataset = await service.dataset(...numbered(1000));
    await service.items.createItem({ dataset, item: item("last", 1) });
    expect((await service.items.listItems({ dataset })).items).toHaveLength(50);
    const pages = await listAll({ dataset, pageSize: 100_000 });
    expect(pages.map((page) => page.length)).toEqual([1000, 1]);
    expect(await refusalOf(service.items.listItems({ dataset, pageSize: -1 }))).toEqual(invalid("page_size"));
  });

  test("lists nothing of an empty dataset and of version 0", async () => {
    const empty = await service.dataset();
    expect(await service.items.listItems({ dataset: empty })).toMatchObject({
      items: [],
      nextPageToken: "",
      version: 0n,
    });
    const dataset = await service.dataset(item("x", 1));
    expect((await service.items.listItems({ dataset, at: at(0n) })).items).toEqual([]);
  });

  test("lists an older version as it was", async () => {
    const dataset = await twoVersions();
    const [page = []] = await listAll({ dataset, at: at(1n) });
    expect(page.map((one) => [one.itemId, one.inputJson])).toEqual([
      ["x", "1"],
      ["y", "1"],
    ]);
  });

  test("keeps items in any of the splits", async () => {
    const dataset = await service.dataset(
      item("a", 1, { splits: ["train"] }),
      item("b", 1, { splits: ["test", "hard"] }),
      item("c", 1),
      item("d", 1, { splits: ["train", "hard"] }),
    );
    const list = async (...splits: string[]) =>
      idsOf((await listAll({ dataset, splits, pageSize: 1 })).flat());
    expect(await list("train")).toEqual(["a", "d"]);
    expect(await list("test", "train")).toEqual(["a", "b", "d"]);
    expect(await list("hard", "hard")).toEqual(["b", "d"]);
    expect(await list("tra")).toEqual([]);
    expect(await list()).toEqual(["a", "b", "c", "d"]);
    expect(await refusalOf(service.items.listItems({ dataset, splits: ["a\n"] }))).toEqual(invalid("splits"));
  });

  test("leaves only the payloads out of keys", async () => {
    const dataset = await service.dataset(
      item("a", 1, { expectedOutputJson: "2", metadataJson: '{"m":1}', splits: ["train"] }),
    );
    const [whole] = (await listAll({ dataset })).flat();
    const [keys] = (await listAll({ dataset, view: ItemView.KEYS })).flat();
    expect(contentOf(keys)).toEqual({
      inputJson: "",
      expectedOutputJson: undefined,
      metadataJson: "",
      splits: ["train"],
    });
    expect(keys).toMatchObject({
      contentHash: whole?.contentHash,
      version: 1n,
      createTime: whole?.createTime,
      updateTime: whole?.updateTime,
      purged: false,
    });
  });

  test("reads the version of the first page on all pages, whatever is written meanwhile", async () => {
    const dataset = await service.dataset(...numbered(20));
    const before = await service.read(dataset);
    let round = 0;
    const pages = await listAll({ dataset, pageSize: 3 }, async () => {
      round++;
      await service.upserts.upsertItems({
        dataset,
        items: [item(key(round), "changed"), item(`k0005${round}`, "new"), item("a", round)],
      });
      await service.items.deleteItem({ dataset, itemId: key(19 - round) });
    });
    expect(Object.fromEntries(pages.flat().map((one) => [one.itemId, one]))).toEqual(before);
    expect(pages.flat()).toHaveLength(20);
    expect(pages).toHaveLength(7);
  });

  test("bounds pages of large items by their size, with another page after them", async () => {
    const large = (id: string) => item(id, id.repeat(1_000_000));
    const dataset = await service.dataset();
    const ids = ["a", "b", "c", "d", "e", "f", "g"];
    for (const id of ids) await service.items.createItem({ dataset, item: large(id) });
    const pages = await listAll({ dataset, pageSize: 1000 });
    expect(pages.map(idsOf)).toEqual([["a", "b", "c"], ["d", "e", "f"], ["g"]]);
    expect((await listAll({ dataset, pageSize: 3 })).map((page) => page.length)).toEqual([3, 3, 1]);
    expect((await listAll({ dataset, view: ItemView.KEYS })).map(idsOf)).toEqual([ids]);
  });

  test.each([ItemView.FULL, ItemView.KEYS])(
    "bounds pages of items with long keys as well, so that every client accepts them (view %i)",
    async (view) => {
      const splits = Array.from({ length: 32 }, (_, n) => `${n}`.padStart(128, "s"));
      const rows = numbered(800, { splits }).map((one) => ({
        ...one,
        itemId: `${one.itemId}`.padEnd(255, "-"),
      }));
      const dataset = await service.dataset(...rows.slice(0, 400));
      await service.items.batchCreateItems({ dataset, items: rows.slice(400) });
      const pages = await listAll({ dataset, pageSize: 1000, view });
      expect(pages.length).toBeGreaterThan(1);
      expect(idsOf(pages.flat())).toEqual(rows.map((one) => one.itemId));
    },
  );

  describe("refuses a page token", () => {
    test("that was altered, truncated, made up, or made by StreamItems", async () => {
      const dataset = await service.dataset(...numbered(4));
      const { nextPageToken: token } = await service.items.listItems({ dataset, pageSize: 2 });
      let cursor = "";
      for await (const { frame } of service.items.streamItems({ dataset })) {
        if (frame.case === "batch") cursor = frame.value.cursor;
      }
      const flipped = `${token.slice(0, -2)}${token.at(-2) === "A" ? "B" : "A"}${token.slice(-1)}`;
      for (const pageToken of [flipped, token.slice(0, -4), `${token}AAAA`, "garbage", "é", cursor]) {
        expect(await refusalOf(service.items.listItems({ dataset, pageSize: 2, pageToken }))).toEqual(
          refused("InvalidArgument", "INVALID_PAGE_TOKEN", { field: "page_token" }),
        );
      }
    });

    test("with other arguments than those of the previous page, but not with another page size", async () => {
      const dataset = await service.dataset(...numbered(4, { splits: ["train"] }));
      const other = await service.dataset(...numbered(4));
      const { nextPageToken: pageToken } = await service.items.listItems({ dataset, pageSize: 2 });
      for (const change of [
        { dataset: other },
        { at: at(1n) },
        { splits: ["train"] },
        { view: ItemView.KEYS },
      ]) {
        expect(
          await refusalOf(service.items.listItems({ dataset, pageSize: 2, ...change, pageToken })),
        ).toEqual(refused("InvalidArgument", "INVALID_PAGE_TOKEN"));
      }
      const { items } = await service.items.listItems({ dataset, pageSize: 1, pageToken });
      expect(idsOf(items)).toEqual([key(2)]);
    });
  });
});
