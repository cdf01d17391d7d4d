import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { VersionSelectorSchema } from "../../gen/itembank/v1/dataset_pb.js";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import type { Item, ItemSchema } from "../../gen/itembank/v1/item_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import type { Pool } from "../../src/db/pool.ts";
import { startTestService } from "../support/service.ts";

/** An item as a caller sends it. */
export type ItemInit = MessageInitShape<typeof ItemSchema>;

/** The service on a real port, and shortcuts for tests of items. */
export interface ItemServiceUnderTest {
  readonly items: Client<typeof ItemService>;
  readonly upserts: Client<typeof UpsertService>;
  readonly datasets: Client<typeof DatasetService>;
  readonly pool: Pool;
  /** A client of any other service. */
  client<S extends DescService>(service: S): Client<S>;
  /** A new dataset, with these items at version 1 if there are any. */
  dataset(...items: ItemInit[]): Promise<DatasetRef>;
  /** The items of a version, by default the latest, by id: GetItem and all listings must agree with it. */
  read(dataset: DatasetRef, version?: bigint): Promise<Record<string, Item>>;
  close(): Promise<void>;
}

/** A dataset in the form of requests. */
export type DatasetRef = { readonly by: { readonly case: "datasetId"; readonly value: string } };

export async function startItemService(): Promise<ItemServiceUnderTest> {
  const service = await startTestService();
  const items = service.client(ItemService);
  const upserts = service.client(UpsertService);
  const datasets = service.client(DatasetService);
  return {
    items,
    upserts,
    datasets,
    pool: service.resources.pool,
    client: (other) => service.client(other),
    async dataset(...contents) {
      const { dataset } = await datasets.createDataset({ dataset: { name: `dataset ${++names}` } });
      const ref = { by: { case: "datasetId", value: dataset?.datasetId ?? "" } } as const;
      if (contents.length > 0) await items.batchCreateItems({ dataset: ref, items: contents });
      return ref;
    },
    async read(dataset, version) {
      const found: Record<string, Item> = {};
      const request = { dataset, ...(version === undefined ? {} : { at: at(version) }) };
      for await (const { frame } of items.streamItems(request)) {
        if (frame.case === "batch") for (const one of frame.value.items) found[one.itemId] = plain(one);
      }
      return found;
    },
    close: () => service.close(),
  };
}

let names = 0;

/** An item with this input. */
export function item(itemId: string, input: unknown, more: ItemInit = {}): ItemInit {
  return { itemId, inputJson: JSON.stringify(input), ...more };
}

/** Items `k000`, `k001`, … with inputs of their own. */
export function numbered(count: number, more: ItemInit = {}): ItemInit[] {
  return Array.from({ length: count }, (_, n) => item(key(n), n, more));
}

/** The id of the item of a number, of `numbered`. */
export function key(number: number): string {
  return `k${String(number).padStart(3, "0")}`;
}

/** Chooses a version by number. */
export function at(version: bigint): MessageInitShape<typeof VersionSelectorSchema> {
  return { by: { case: "version", value: version } };
}

/** The counts of a receipt in short: `c1 u0 n0 d0`. */
export function countsOf(receipt: Receipt | undefined): string {
  const counts = receipt?.counts;
  return `c${counts?.created} u${counts?.updated} n${counts?.unchanged} d${counts?.deleted}`;
}

/** The same item; messages decoded in one piece and in several represent bytes differently, which comparisons should ignore. */
export function plain(one: Item): Item {
  return { ...one, contentHash: Uint8Array.from(one.contentHash) };
}

/** The content of an item, without the versions and times that its dataset gave it. */
export function contentOf(one: Item | undefined) {
  if (one === undefined) return undefined;
  const { inputJson, expectedOutputJson, metadataJson, splits } = one;
  return { inputJson, expectedOutputJson, metadataJson, splits };
}
