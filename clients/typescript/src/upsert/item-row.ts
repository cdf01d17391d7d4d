import { create } from "@bufbuild/protobuf";
import { type Item, ItemSchema } from "../../gen/itembank/v1/item_pb.js";
import type { Limits } from "../../gen/itembank/v1/limits_pb.js";
import { hashContent, type Payload } from "../json/content-hash.ts";
import { JsonProblem } from "../json/json-problem.ts";
import type { Platform } from "../platform.ts";
import { invalidField, invalidJson, limitExceeded } from "../rpc/error.ts";

/** An item as values. */
export interface ItemValues {
  /** The stable key. A row without one is matched by its content. */
  readonly itemId?: string | undefined;
  readonly input: unknown;
  /** Undefined if there is none; `null` is a value. */
  readonly expectedOutput?: unknown;
  readonly metadata?: object | undefined;
  readonly splits?: readonly string[] | undefined;
}

/** An item as JSON texts, whose spelling is kept: `1.0` stays `1.0`, and members stay in their order. */
export interface ItemTexts {
  readonly itemId?: string | undefined;
  readonly inputJson: string;
  readonly expectedOutputJson?: string | undefined;
  /** Empty if there is none. */
  readonly metadataJson?: string | undefined;
  readonly splits?: readonly string[] | undefined;
}

/** An item to write, as values or as JSON texts. */
export type ItemInit = ItemValues | ItemTexts;

/** How rows become items. */
export interface RowConversion<Row> {
  /** The member of a row that is its id, or a function that returns the id, or undefined for a row without one. */
  readonly itemId?: string | ((row: Row, index: number) => string | number | bigint | undefined) | undefined;
  /** Converts a row to an item. For the default, see `UpsertDatasetOptions.items`. */
  readonly map?: ((row: Row, index: number) => ItemInit) | undefined;
}

/** A row that is ready to send. */
export interface PreparedRow {
  readonly item: Item;
  /** An upper bound on the bytes of the item in a message. */
  readonly bytes: number;
}

type ItemMember = keyof ItemValues | keyof ItemTexts;

/** The members of an item, in both spellings, with their names here. */
const itemMembers: ReadonlyMap<string, ItemMember> = new Map([
  ["itemId", "itemId"],
  ["item_id", "itemId"],
  ["input", "input"],
  ["inputJson", "inputJson"],
  ["input_json", "inputJson"],
  ["expectedOutput", "expectedOutput"],
  ["expected_output", "expectedOutput"],
  ["expectedOutputJson", "expectedOutputJson"],
  ["expected_output_json", "expectedOutputJson"],
  ["metadata", "metadata"],
  ["metadataJson", "metadataJson"],
  ["metadata_json", "metadataJson"],
  ["splits", "splits"],
]);

/** Members that the server sets. They are ignored, so that items that were read can be written again. */
const setByServer = new Set(
  "contentHash content_hash version createTime create_time updateTime update_time purged $typeName $unknown".split(
    " ",
  ),
);

/** What rows are converted with. */
export interface RowSetting<Row> {
  readonly platform: Platform;
  /** Undefined leaves the sizes of items unchecked. */
  readonly limits?: Pick<Limits, "maxItemBytes">;
  readonly conversion: RowConversion<Row>;
}

/**
 * Converts row number `index` to an item.
 *
 * @throws ItembankError INVALID_JSON, INVALID_FIELD or LIMIT_EXCEEDED, naming the row
 */
export function prepareRow<Row>(
  { platform, limits, conversion }: RowSetting<Row>,
  row: Row,
  index: number,
): PreparedRow {
  const init = conversion.map ? conversion.map(row, index) : itemOf(row, index, conversion.itemId);
  const itemId = idOf(conversion, init, row, index);
  const splits = [...(init.splits ?? [])];
  requireText(itemId, index, "item_id");
  for (const split of splits) requireText(split, index, "splits");
  try {
    const content = hashContent(platform, ...payloadsOf(init));
    const size = [content.inputJson, content.expectedOutputJson ?? "", content.metadataJson].reduce(
      (sum, text) => sum + platform.byteLength(text),
      0,
    );
    if (limits !== undefined && size > limits.maxItemBytes) {
      const facts = { index: String(index), item_id: itemId };
      throw limitExceeded({
        limit: "max_item_bytes",
        maximum: limits.maxItemBytes,
        received: size,
        about: `row ${index}`,
        facts,
      });
    }
    const keys = [itemId, ...splits].reduce((sum, text) => sum + platform.byteLength(text) + 4, 0);
    const { expectedOutputJson, ...others } = content;
    const item = create(ItemSchema, { itemId, splits, ...others });
    if (expectedOutputJson !== undefined) item.expectedOutputJson = expectedOutputJson;
    return { item, bytes: size + keys + overhead };
  } catch (error) {
    if (error instanceof JsonProblem) throw invalidJson(index, itemId, error.path, error.problem);
    throw error;
  }
}

/** Bytes of an encoded item besides its texts: the hash, and the tags and lengths of all fields and of the item itself. */
const overhead = 34 + 6 * 4;

/** Converts a row without `map`. */
function itemOf(row: unknown, index: number, idMember: unknown): ItemInit {
  const isItem = isObject(row) && ("input" in row || "inputJson" in row || "input_json" in row);
  if (!isItem) return { input: row };
  const init: { [Member in ItemMember]?: unknown } = {};
  for (const [name, value] of Object.entries(row)) {
    const member = itemMembers.get(name);
    if (member === undefined) {
      if (setByServer.has(name) || name === idMember) continue;
      throw invalidField(
        `items[${index}].${name}`,
        "is not part of an item, and would be lost beside `input`: move it into `metadata`, or pass `map`",
      );
    }
    if (value === undefined) continue;
    if (member in init) throw invalidField(`items[${index}].${name}`, `is present twice, also as ${member}`);
    init[member] = value;
  }
  return init as ItemInit;
}

function payloadsOf(
  init: ItemInit,
): [input: Payload, expectedOutput: Payload | undefined, metadata: Payload | undefined] {
  const { inputJson, expectedOutputJson, metadataJson } = init as Partial<ItemTexts>;
  const { input, expectedOutput, metadata } = init as Partial<ItemValues>;
  if (inputJson !== undefined && input !== undefined) {
    throw new JsonProblem("$.input", [], "is given as input and as inputJson");
  }
  if (inputJson === undefined && input === undefined) {
    throw new JsonProblem("$.input", [], "is undefined; every item needs an input, which may be null");
  }
  return [
    inputJson === undefined ? { kind: "value", value: input } : { kind: "text", text: inputJson },
    payload(expectedOutput, expectedOutputJson),
    payload(metadata, metadataJson || undefined),
  ];
}

function payload(value: unknown, text: string | undefined): Payload | undefined {
  if (text !== undefined) return { kind: "text", text };
  return value === undefined ? undefined : { kind: "value", value };
}

function idOf<Row>({ itemId: from }: RowConversion<Row>, init: ItemInit, row: Row, index: number): string {
  const field = `items[${index}].item_id`;
  if (from === undefined) {
    const own: unknown = init.itemId ?? "";
    if (typeof own !== "string") throw invalidField(field, `is ${describe(own)}, not a string`);
    return own;
  }
  const given: unknown =
    typeof from === "function" ? from(row, index) : isObject(row) ? row[from] : undefined;
  if (typeof given === "string" && given !== "") return given;
  if (typeof given === "bigint" || Number.isSafeInteger(given)) return String(given);
  if (typeof from === "function" && given === undefined) return "";
  const source =
    typeof from === "function" ? "the result of `itemId`" : `member ${JSON.stringify(from)} of the row`;
  throw invalidField(field, `${source} is ${describe(given)}; an id must be a string or a whole number`);
}

/** Checks a text outside of payloads. They are sent as UTF-8, which would silently replace a lone surrogate. */
function requireText(text: unknown, index: number, field: string): void {
  if (typeof text !== "string")
    throw invalidField(`items[${index}].${field}`, `is ${describe(text)}, not a string`);
  if (!text.isWellFormed()) throw invalidField(`items[${index}].${field}`, "contains a lone surrogate");
}

function describe(value: unknown): string {
  if (value === "") return "empty";
  return value === null || value === undefined ? String(value) : `a ${typeof value}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
