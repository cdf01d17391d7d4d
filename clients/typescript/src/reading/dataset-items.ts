import type { StreamItemsResponse } from "../../gen/itembank/v1/item_service_pb.js";
import type { Connection } from "../rpc/connection.ts";
import { type DatasetLike, datasetRef, type VersionLike, versionSelector } from "../rpc/dataset-ref.ts";
import { type ReadItem, readItem } from "./read-item.ts";
import { resumed } from "./resumed.ts";

export interface StreamItemsOptions {
  readonly dataset: DatasetLike;
  /** The latest unless set. The stream stays on it, whatever is written meanwhile. */
  readonly version?: VersionLike;
  /** Keeps items in any of these splits. All items unless set. */
  readonly splits?: readonly string[];
  readonly signal?: AbortSignal;
}

/** What was read when all items were. */
export interface ItemsRead {
  readonly version: number;
  readonly itemCount: number;
}

/** All items of a version in ascending byte order of their ids. Goes on where the stream broke, on the same version. */
export async function* streamItems<Input, Expected>(
  connection: Connection,
  { dataset, version, splits = [], signal }: StreamItemsOptions,
): AsyncGenerator<ReadItem<Input, Expected>, ItemsRead> {
  const request = { dataset: datasetRef(dataset), at: versionSelector(version), splits: [...splits] };
  let cursor = "";
  const open = () => connection.items.streamItems({ ...request, cursor }, signal ? { signal } : {});
  const isLast = ({ frame }: StreamItemsResponse) => frame.case === "end";
  for await (const { frame } of resumed(connection, open, isLast, signal)) {
    if (frame.case === "batch") {
      for (const item of frame.value.items) yield readItem<Input, Expected>(item);
      cursor = frame.value.cursor;
    }
    if (frame.case === "end") {
      return { version: Number(frame.value.version), itemCount: Number(frame.value.itemCount) };
    }
  }
  throw new Error("a stream of items was read to its end without one");
}
