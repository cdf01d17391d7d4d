import {
  ColumnReading_Dropped,
  ColumnReading_Kind,
  type FileReading,
} from "../../../clients/typescript/src/contract.ts";
import { clipped, oneLine, plural } from "./text.ts";

/** Width of a list of columns. A longer one would push the receipt out of sight. */
const maxListWidth = 160;

const delimiterNames: Readonly<Record<string, string>> = { "\t": "tabs", ";": "semicolons", "|": "bars" };

/** What the user said about a file, which needs no repetition. */
export interface GivenReading {
  readonly delimiter?: string;
  readonly cells?: string;
}

/** Returns what was inferred of a file and left out of it, a line for each. */
export function readingInWords(
  reading: FileReading | undefined,
  { delimiter, cells = "infer" }: GivenReading,
): string[] {
  if (reading === undefined) return [];
  const { columns, blankRowCount } = reading;
  const lines: string[] = [];
  const separators = delimiterNames[reading.delimiter];
  if (delimiter === undefined && separators !== undefined)
    lines.push(`fields are separated by ${separators}`);
  if (reading.exported) lines.push("read as a file that export wrote, with payloads that are JSON");
  if (reading.bareTextCount > 0n)
    lines.push(`read ${plural(reading.bareTextCount, "payload")} without the quotes of JSON as text`);
  if (cells === "infer") {
    const named = (kind: ColumnReading_Kind, what: string) => {
      const found = columns.filter((column) => column.kind === kind).map(({ name }) => name);
      if (found.length > 0)
        lines.push(clipped(oneLine(`read as ${what}: ${found.join(", ")}`), maxListWidth));
    };
    named(ColumnReading_Kind.NUMBER, "numbers");
    named(ColumnReading_Kind.BOOLEAN, "booleans");
  }
  if (columns.some(({ dropped }) => dropped === ColumnReading_Dropped.INDEX)) {
    lines.push("dropped the first column: it has no name and numbers the rows from 0 (--header keeps it)");
  }
  const blank = columns.filter(({ dropped }) => dropped === ColumnReading_Dropped.BLANK).length;
  if (blank > 0) lines.push(`dropped ${plural(blank, "column")} without a name or a value`);
  if (blankRowCount > 0n) lines.push(`skipped ${plural(blankRowCount, "blank row")}`);
  return lines;
}
