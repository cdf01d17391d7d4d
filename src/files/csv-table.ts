import { plural } from "../quantities.ts";
import { CsvReader, type CsvRecord } from "./csv.ts";
import { invalidFile } from "./invalid-file.ts";
import type { TableColumn, TableRow } from "./table.ts";

/** The kind of the texts of a column, as far as they are known. */
type LiteralKind = "unknown" | "number" | "boolean" | "text";

/**
 * Yields the rows of a CSV file, page by page. A blank field is undefined.
 *
 * @param text The file in chunks of UTF-8 that end between characters.
 * @param literals The columns whose texts stand for numbers or booleans, see `literalColumns`.
 * @throws Failure INVALID_FILE
 */
export async function* csvRows(
  text: AsyncIterable<Buffer>,
  literals: ReadonlySet<string> = new Set(),
): AsyncGenerator<TableRow[]> {
  let columns: TableColumn[] | undefined;
  let number = 0;
  for await (const records of csvRecords(text)) {
    const page: TableRow[] = [];
    for (const { fields, line } of records) {
      if (columns === undefined) {
        columns = requireNames(fields).map((name) => ({ name, isText: true, isLiteral: literals.has(name) }));
        continue;
      }
      number++;
      if (fields.length !== columns.length) {
        throw invalidFile(`has ${plural(fields.length, "field")}; the header has ${columns.length}`, {
          row: number,
          line,
        });
      }
      page.push({
        columns,
        values: fields.map((field) => (field === "" ? undefined : field)),
        number,
        line,
      });
    }
    yield page;
  }
  if (columns === undefined) throw invalidFile("has no header");
}

/** Returns the names of the columns of a CSV file. Reads only as far as necessary. @throws Failure INVALID_FILE */
export async function csvColumns(text: AsyncIterable<Buffer>): Promise<string[]> {
  for await (const [header] of csvRecords(text)) if (header !== undefined) return requireNames(header.fields);
  throw invalidFile("has no header");
}

/**
 * Returns the columns of a CSV file that contain only numbers, or only true and false, each spelled as it would be
 * written back. Blank fields do not count. Reads until no candidate is left, mostly to the end.
 *
 * @throws Failure INVALID_FILE
 */
export async function literalColumns(
  text: AsyncIterable<Buffer>,
  candidates: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const kinds = new Map<number, LiteralKind>();
  let names: readonly string[] | undefined;
  for await (const page of csvRows(text)) {
    for (const { columns, values } of page) {
      if (names === undefined) {
        names = columns.map((column) => column.name);
        names.forEach((name, index) => {
          if (candidates.has(name)) kinds.set(index, "unknown");
        });
      }
      for (const [index, kind] of kinds) {
        const value = values[index];
        if (value === undefined) continue;
        const seen = literalKindOf(value);
        if (seen === kind) continue;
        if (kind === "unknown" && seen !== "text") kinds.set(index, seen);
        else kinds.delete(index);
      }
    }
    if (names !== undefined && kinds.size === 0) break;
  }
  const literal = [...kinds].filter(([, kind]) => kind !== "unknown");
  return new Set(literal.map(([index]) => names?.[index] ?? ""));
}

/**
 * Decimals with the same number of digits after the point, such as prices, mostly end with zeros. JSON keeps those. Up
 * to this many digits survive a double unchanged (DBL_DIG in C).
 */
const maxDecimalDigits = 15;

/** Returns the kind of a text, if it would be written back as it is. */
function literalKindOf(text: string): LiteralKind {
  if (text === "true" || text === "false") return "boolean";
  if (!/^-?\d/.test(text)) return "text";
  const value = Number(text);
  if (/^-?(0|[1-9]\d*)\.\d+$/.test(text)) {
    const isNegativeZero = value === 0 && text.startsWith("-");
    return !isNegativeZero && text.replace(/\D/g, "").length <= maxDecimalDigits ? "number" : "text";
  }
  if (!Number.isFinite(value) || String(value) !== text) return "text";
  // Beyond 2^53 neighbours share a double: the text written back would be right only by chance.
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? "text" : "number";
}

async function* csvRecords(text: AsyncIterable<Buffer>): AsyncGenerator<CsvRecord[]> {
  const reader = new CsvReader();
  for await (const chunk of text) yield reader.feed(chunk.toString());
  yield reader.end();
}

/** @throws Failure INVALID_FILE for a column without a name, and for two with the same name */
function requireNames(names: string[]): string[] {
  names.forEach((name, index) => {
    if (name === "") throw invalidFile(`has no name for column ${index + 1}`);
    if (names.indexOf(name) < index) throw invalidFile("occurs twice", { column: name });
  });
  return names;
}
