import type { Item } from "../../gen/itembank/v1/item_pb.js";
import type { StreamItemsResponse } from "../../gen/itembank/v1/item_service_pb.js";
import type { Connection } from "../rpc/connection.ts";
import { type DatasetLike, datasetRef, type VersionLike, versionSelector } from "../rpc/dataset-ref.ts";
import { datasetNames, type OptionNames, versionNames } from "../rpc/option-names.ts";
import { type ReadItem, readItem } from "./read-item.ts";
import { resumed } from "./resumed.ts";

/** The version to read, and the splits to read of it. */
export interface StreamItemsOptions {
  readonly dataset: DatasetLike;
  /** The latest by default. The stream stays on it while new versions are made. */
  readonly version?: VersionLike;
  /** Yields only items in any of these splits. All items by default. */
  readonly splits?: readonly string[];
  readonly signal?: AbortSignal;
}

/** The names of `StreamItemsOptions`. */
export const streamItemsOptionNames: OptionNames<StreamItemsOptions> = {
  dataset: datasetNames,
  version: versionNames,
  splits: true,
  signal: true,
};

/** The version and the number of items that a complete stream has read. */
export interface ItemsRead {
  readonly version: number;
  readonly itemCount: number;
}

/** Yields all items of a version in ascending byte order of their ids. Resumes after a broken stream, on the same version. */
export async function* streamItems<Input, Expected>(
  connection: Connection,
  options: StreamItemsOptions,
): AsyncGenerator<ReadItem<Input, Expected>, ItemsRead> {
  const messages = streamItemMessages(connection, options);
  try {
    for (;;) {
      const { done, value } = await messages.next();
      if (done) return value;
      yield readItem<Input, Expected>(value);
    }
  } finally {
    // Ends the stream if the caller stops reading.
    await messages.return(undefined as never);
  }
}

/** Yields the same items as they are received. */
export async function* streamItemMessages(
  connection: Connection,
  { dataset, version, splits = [], signal }: StreamItemsOptions,
): AsyncGenerator<Item, ItemsRead> {
  const request = { dataset: datasetRef(dataset), at: versionSelector(version), splits: [...splits] };
  let cursor = "";
  const open = () => connection.items.streamItems({ ...request, cursor }, signal ? { signal } : {});
  const isLast = ({ frame }: StreamItemsResponse) => frame.case === "end";
  for await (const { frame } of resumed(connection, open, isLast, signal)) {
    if (frame.case === "batch") {
      yield* frame.value.items;
      cursor = frame.value.cursor;
    }
    if (frame.case === "end") {
      return { version: Number(frame.value.version), itemCount: Number(frame.value.itemCount) };
    }
  }
  throw new Error("the stream of items ended without its last frame");
}
