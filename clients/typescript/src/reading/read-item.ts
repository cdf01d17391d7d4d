import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import { parseJson } from "../json/json-text.ts";
import { toHex } from "../upsert/upsert-outcome.ts";

/** An item at a version, with its payloads as values. It can be written again unchanged. */
export interface ReadItem<Input = unknown, Expected = unknown> {
  readonly itemId: string;
  readonly input: Input;
  /** Absent if there is no reference answer, which is not the same as `null`. */
  readonly expectedOutput?: Expected;
  /** Absent if there is none. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly splits: readonly string[];
  /** `sha256-jcs-v1`, in hexadecimal. */
  readonly contentHash: string;
  /** The version that wrote this state of the item. */
  readonly version: number;
  readonly createTime: Date | undefined;
  readonly updateTime: Date | undefined;
  /** True if the payloads were erased. `input` is undefined then. */
  readonly purged: boolean;
}

/** Converts an item of the contract. Its payloads are assumed, not checked, to have the types of the caller. */
export function readItem<Input, Expected>(item: Item): ReadItem<Input, Expected> {
  const { itemId, inputJson, expectedOutputJson, metadataJson, splits, purged } = item;
  return {
    itemId,
    input: (inputJson === "" ? undefined : parseJson(inputJson)) as Input,
    ...(expectedOutputJson && { expectedOutput: parseJson(expectedOutputJson) as Expected }),
    ...(metadataJson && { metadata: parseJson(metadataJson) as Readonly<Record<string, unknown>> }),
    splits: [...splits],
    contentHash: toHex(item.contentHash),
    version: Number(item.version),
    createTime: date(item.createTime),
    updateTime: date(item.updateTime),
    purged,
  };
}

function date(time: Timestamp | undefined): Date | undefined {
  return time && timestampDate(time);
}
