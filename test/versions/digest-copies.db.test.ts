import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contentHash } from "../../src/items/content-hash.ts";
import {
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  startItemService,
} from "../items/item-service.ts";
import { batch, commit, type Frame, open, receiptOf } from "../upsert/streaming.ts";

/** Two services, each on a database of its own. */
let here: ItemServiceUnderTest;
let there: ItemServiceUnderTest;
beforeAll(async () => {
  [here, there] = await Promise.all([startItemService(), startItemService()]);
});
afterAll(() => Promise.all([here.close(), there.close()]));

const root = join(import.meta.dirname, "../..");
const file = join(root, "examples/reckoning/edition-1.jsonl");

async function itemsOfFile(): Promise<ItemInit[]> {
  const lines = (await readFile(file, "utf8")).trim().split("\n");
  return lines.map((line) => {
    const { item_id: itemId, input, expected_output: expectedOutput, metadata, splits } = JSON.parse(line);
    return {
      itemId,
      // As another client may spell it: with white space, and members in another order.
      inputJson: JSON.stringify(input, null, 2),
      expectedOutputJson: JSON.stringify(expectedOutput),
      metadataJson: JSON.stringify(metadata),
      splits,
    };
  });
}

/** The digest of the latest version, in hexadecimal. */
async function digestOf({ datasets }: ItemServiceUnderTest, dataset: DatasetRef): Promise<string> {
  const { version } = await datasets.getVersion({ dataset });
  return Buffer.from(version?.digest ?? []).toString("hex");
}

const offerOf = (items: readonly ItemInit[]): Frame => ({
  case: "offer",
  value: {
    offset: 0n,
    entries: items.map((one) => ({
      itemId: one.itemId ?? "",
      contentHash: contentHash({
        input: one.inputJson ?? "",
        expectedOutput: one.expectedOutputJson,
        metadata: one.metadataJson,
      }),
      splits: one.splits ?? [],
    })),
  },
});

type Route = (
  service: ItemServiceUnderTest,
  dataset: DatasetRef,
  items: readonly ItemInit[],
) => Promise<unknown>;

const halves = (items: readonly ItemInit[]) => [items.slice(0, 100), items.slice(100)] as const;

/** Ways to get some items into a dataset. */
const routes: Record<string, Route> = {
  "one call": (service, dataset, items) => service.items.batchCreateItems({ dataset, items: [...items] }),
  "the other way round, in three versions": async (service, dataset, items) => {
    const [first, rest] = halves(items.toReversed());
    await service.upserts.upsertItems({ dataset, items: first });
    await service.upserts.upsertItems({ dataset, items: rest.slice(0, -1) });
    await service.items.createItem({ dataset, item: rest.at(-1) ?? {} });
  },
  "a stream of batches": (service, dataset, items) =>
    receiptOf(service.upserts, [
      open({ dataset, requestId: randomUUID() }),
      batch(0, items.slice(0, 7)),
      batch(7, items.slice(7)),
      commit(items.length),
    ]),
  "offers and their bodies": async (service, dataset, items) => {
    const [first, rest] = halves(items);
    await service.items.batchCreateItems({ dataset, items: [...first, { itemId: "gone", inputJson: "1" }] });
    await receiptOf(service.upserts, [
      open({ dataset, requestId: randomUUID(), options: { mode: 2 } }),
      offerOf(items),
      { case: "supply", value: { items: [...rest].reverse() } },
      commit(items.length),
    ]);
  },
  "a stream that other writes overtake": async (service, dataset, items) => {
    const [first, rest] = halves(items);
    await service.items.batchCreateItems({ dataset, items: [...first] });
    const name = { dataset, requestId: randomUUID() };
    const sent = [open(name), batch(0, [...items])];
    for await (const { frame } of service.upserts.streamUpsertItems(
      (async function* () {
        for (const frame of sent) yield { frame };
      })(),
    )) {
      if (frame.case === undefined) break;
    }
    await service.items.batchDeleteItems({
      dataset,
      itemIds: first.slice(0, 50).map((one) => one.itemId ?? ""),
    });
    await service.items.batchCreateItems({ dataset, items: [...rest.slice(0, 20)] });
    await receiptOf(service.upserts, [open(name), commit(items.length)]);
  },
  "changes that are reverted": async (service, dataset, items) => {
    await service.items.batchCreateItems({ dataset, items: [...items] });
    const itemId = items[3]?.itemId ?? "";
    await service.items.updateItem({ dataset, itemId, patch: { inputJson: "1", splits: ["other"] } });
    await service.items.deleteItem({ dataset, itemId: items[4]?.itemId ?? "" });
    await service.items.createItem({ dataset, item: { inputJson: "1" } });
    await service.upserts.upsertItems({
      dataset,
      items: [...items],
      options: { mode: 2, replaceSplits: true },
    });
  },
};

describe("The digest of a version", () => {
  test.each(Object.entries(routes))(
    "is the same on another server, and the one in the file: %s",
    async (_, route) => {
      const items = await itemsOfFile();
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(root, "examples/digest.js"),
        file,
      ]);
      for (const service of [here, there]) {
        const dataset = await service.dataset();
        await route(service, dataset, items);
        expect(Object.keys(await service.read(dataset))).toHaveLength(items.length);
        expect(await digestOf(service, dataset)).toBe(stdout.trim());
      }
    },
  );

  test("differs if one item, id or split differs", async () => {
    const items = (await itemsOfFile()).slice(0, 5);
    const [first = {}, ...rest] = items;
    const digests = new Set<string>();
    for (const other of [
      first,
      { ...first, itemId: "another" },
      { ...first, inputJson: "1" },
      { ...first, metadataJson: "" },
      { ...first, splits: [...(first.splits ?? []), "another"] },
    ]) {
      digests.add(await digestOf(here, await here.dataset(other, ...rest)));
    }
    digests.add(await digestOf(here, await here.dataset(...rest)));
    expect(digests.size).toBe(6);
  });

  test("stays when an item is purged", async () => {
    const dataset = await here.dataset({ itemId: "x", inputJson: "1" }, { itemId: "y", inputJson: "2" });
    const before = await digestOf(here, dataset);
    await here.items.purgeItem({ dataset, itemId: "x" });
    expect(await digestOf(here, dataset)).toBe(before);
    await here.items.deleteItem({ dataset, itemId: "x" });
    expect(await digestOf(here, dataset)).toBe(
      await digestOf(there, await there.dataset({ itemId: "y", inputJson: "2" })),
    );
  });
});
