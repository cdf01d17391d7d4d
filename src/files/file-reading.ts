import type { FileFormat } from "./file-format.ts";

/** The values that the texts of a column became. */
export type ColumnKind = "text" | "number" | "boolean" | "json";

/** Why a column was dropped: it has neither a name nor a value, or it is the index that pandas writes. */
export type DropReason = "blank" | "index";

/** How a column was read. */
export interface ColumnReading {
  /** Empty if it has none. */
  readonly name: string;
  /** Undefined if it was dropped. */
  readonly kind: ColumnKind | undefined;
  readonly dropped: DropReason | undefined;
}

/** How a file was read: what was found out, and what was left out. */
export interface FileReading {
  readonly format: FileFormat;
  /** Whether it is known as a CSV or Parquet file that ExportItems wrote, so that its payloads are JSON. */
  readonly isExport: boolean;
  /** The rest is known of CSV files only. */
  readonly csv: CsvReading | undefined;
}

/** How a CSV file was read. */
export interface CsvReading {
  readonly delimiter: string;
  readonly hasHeader: boolean;
  readonly columns: readonly ColumnReading[];
  /** Rows that were skipped because no column has a value. */
  readonly blankRowCount: number;
  /** Inputs and expected outputs of an exported file that are not JSON, and became texts. */
  readonly bareTexts: number;
}
