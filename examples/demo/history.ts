import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { Dataset, DatasetVersion } from "../../gen/itembank/v1/dataset_pb.js";
import type { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import type { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import { type OutgoingItem, sampleName } from "./sample.ts";

const dataset = { by: { case: "name", value: sampleName } } as const;

/** Returns the sample's dataset, undefined if it has not been imported yet. */
export async function findSample(datasets: Client<typeof DatasetService>): Promise<Dataset | undefined> {
  try {
    const { dataset: found } = await datasets.getDataset({ dataset });
    return found;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return undefined;
    throw error;
  }
}

/** Lists the newest versions, oldest first. */
export async function listVersions(datasets: Client<typeof DatasetService>): Promise<DatasetVersion[]> {
  const { versions } = await datasets.listVersions({ dataset, pageSize: 12 });
  return versions.reverse();
}

/**
 * Streams a whole version.
 *
 * @throws Error if the stream was cut.
 */
export async function readVersion(items: Client<typeof ItemService>, version: bigint): Promise<Item[]> {
  const read: Item[] = [];
  for await (const { frame } of items.streamItems({
    dataset,
    at: { by: { case: "version", value: version } },
  })) {
    if (frame.case === "batch") read.push(...frame.value.items);
    if (frame.case === "end") return read;
  }
  throw new Error(`version ${version} ended without its last frame`);
}

/** Whether a version has exactly these items, byte for byte as they were sent. */
export function isSame(read: readonly Item[], sent: readonly OutgoingItem[]): boolean {
  const text = ({ itemId, inputJson, expectedOutputJson, metadataJson, splits }: Item | OutgoingItem) =>
    JSON.stringify([itemId, inputJson, expectedOutputJson, metadataJson, splits]);
  const expected = new Set(sent.map(text));
  return read.length === sent.length && read.every((item) => expected.has(text(item)));
}

/** An item whose expected output the review corrected, before and after. */
export interface Correction {
  readonly itemId: string;
  readonly question: string;
  readonly before: { readonly version: bigint; readonly answer: string };
  readonly after: { readonly version: bigint; readonly answer: string };
}

/** Reads the first item whose expected output differs between `review` and `original`, at both versions. */
export async function readCorrection(
  items: Client<typeof ItemService>,
  original: readonly OutgoingItem[],
  review: readonly OutgoingItem[],
  versions: { readonly before: bigint; readonly after: bigint },
): Promise<Correction | undefined> {
  const first = new Map(original.map((item) => [item.itemId, item.expectedOutputJson]));
  const corrected = review.find(
    ({ itemId, expectedOutputJson }) => (first.get(itemId) ?? expectedOutputJson) !== expectedOutputJson,
  );
  if (corrected === undefined) return undefined;
  const { itemId } = corrected;
  const at = async (version: bigint) => {
    const { item } = await items.getItem({
      dataset,
      itemId,
      at: { by: { case: "version", value: version } },
    });
    return { version, answer: item?.expectedOutputJson ?? "" };
  };
  const { question } = JSON.parse(corrected.inputJson ?? "{}");
  return { itemId, question, before: await at(versions.before), after: await at(versions.after) };
}
