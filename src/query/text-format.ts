import type { Item } from "../items/item.ts";
import { canonicalize } from "../json/canonical-json.ts";

/** An item that has content: purged items have none, and are not exported. */
export type ExportedItem = Pick<Item, "itemId" | "expectedOutput" | "metadata" | "splits"> & {
  readonly input: string;
};

/** The conversion of items to text. */
export interface TextFormat {
  /** The beginning and the end of the file. */
  readonly begin: string;
  readonly end: string;
  /** The separator of items. */
  readonly between: string;
  item(item: ExportedItem): string;
}

/** The formats that are text. */
export const textFormats: Readonly<Record<"csv" | "json" | "jsonl", TextFormat>> = {
  json: { begin: "[", between: ",", end: "\n]\n", item: (item) => `\n${objectOf(item)}` },
  jsonl: { begin: "", between: "", end: "", item: (item) => `${objectOf(item)}\n` },
  // Lines end as in RFC 4180. Payloads are canonical: by that, an export is told from another file with the same header.
  csv: {
    begin: "item_id,input,expected_output,metadata,splits\r\n",
    between: "",
    end: "",
    item: (item) => `${fieldsOf(item).map(field).join(",")}\r\n`,
  },
};

/** Returns an item as a JSON object on one line. Its payloads are the texts that were sent. */
function objectOf({ itemId, input, expectedOutput, metadata, splits }: ExportedItem): string {
  const members = [`"item_id":${JSON.stringify(itemId)}`, `"input":${onOneLine(input)}`];
  if (expectedOutput !== undefined) members.push(`"expected_output":${onOneLine(expectedOutput)}`);
  if (metadata !== undefined) members.push(`"metadata":${onOneLine(metadata)}`);
  if (splits.length > 0) members.push(`"splits":${JSON.stringify(splits)}`);
  return `{${members.join(",")}}`;
}

/** Line breaks within JSON are white space: in strings they are escaped. */
function onOneLine(json: string): string {
  return /[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, " ") : json;
}

/** Returns the values of an item's row. Absent parts are blank. */
function fieldsOf({ itemId, input, expectedOutput, metadata, splits }: ExportedItem): string[] {
  const canonicalOr = (json: string | undefined) => (json === undefined ? "" : canonicalize(json));
  const names = splits.length === 0 ? "" : JSON.stringify(splits);
  return [itemId, canonicalize(input), canonicalOr(expectedOutput), canonicalOr(metadata), names];
}

/**
 * Returns a field of CSV. Quotes keep characters that would mean something else, and white space at the ends, which
 * some readers drop.
 */
function field(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
