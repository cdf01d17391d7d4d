import type { CsvDialect } from "./csv.ts";

/** What is known about the first record of a CSV file: that it is a header unless it reads like data, that it is, or is not. */
export type HeaderRule = "plausible" | "present" | "absent";

/** How a caller says that a CSV file is laid out. */
export interface CsvLayout extends Omit<CsvDialect, "delimiter"> {
  /** Undefined finds it out. */
  readonly delimiter: string | undefined;
  readonly header: HeaderRule;
  /** The names of the columns of a file without a header. Empty numbers them. */
  readonly columnNames: readonly string[];
}

/** The layout that is assumed when a caller says nothing. */
export const defaultLayout: CsvLayout = {
  delimiter: undefined,
  quote: '"',
  comment: undefined,
  nullTexts: new Set(),
  header: "plausible",
  columnNames: [],
};

/** Returns the problem of a delimiter or quote, if it has one. */
export function csvCharacterProblem(text: string): string | undefined {
  return /^[\t\x20-\x7e]$/.test(text) ? undefined : "must be a tab or one printable ASCII character";
}
