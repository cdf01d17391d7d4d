import { CsvReader, type CsvRecord } from "../../src/files/csv.ts";

/** How a program writes a CSV file that it has read. */
export interface Rewriting {
  /** Whether all fields are quoted, or only those that need it. */
  readonly quotesAll?: boolean;
  readonly lineEnd?: "\n" | "\r\n";
  readonly delimiter?: "," | ";" | "\t";
  readonly mark?: boolean;
  /** Whether booleans become TRUE and FALSE. */
  readonly capitals?: boolean;
  /** Replaces fields that were edited. */
  readonly edit?: (field: string) => string;
}

/** Returns a CSV file as a spreadsheet leaves it once it has opened and saved it. */
export function rewritten(
  csv: string,
  { quotesAll = false, lineEnd = "\r\n", delimiter = ",", mark = false, capitals = false, edit }: Rewriting,
): string {
  const reader = new CsvReader({ delimiter: ",", quote: '"', comment: undefined, nullTexts: new Set() });
  reader.feed(csv);
  reader.end();
  const records: CsvRecord[] = [];
  for (let record = reader.next(); record !== undefined; record = reader.next()) records.push(record);
  const write = (field: string) => {
    const cased = capitals && /^(true|false)$/.test(field) ? field.toUpperCase() : field;
    const text = edit === undefined ? cased : edit(cased);
    const isQuoted = quotesAll || /["\r\n]|^\s|\s$/.test(text) || text.includes(delimiter);
    return isQuoted ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = records.map(
    ({ fields }) => fields.map((field) => write(field ?? "")).join(delimiter) + lineEnd,
  );
  return (mark ? "\uFEFF" : "") + lines.join("");
}
