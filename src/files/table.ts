/** A column of a file, or a member of its objects. */
export interface TableColumn {
  readonly name: string;
  /** Whether its values are texts. Else they are JSON texts. */
  readonly isText: boolean;
  /** Whether its texts are the JSON texts of numbers, or of true and false, and stand for those. */
  readonly isLiteral: boolean;
}

/** A row of a file. Rows with the same columns share one list of them, so that what follows from it is found out once. */
export interface TableRow {
  readonly columns: readonly TableColumn[];
  /** By column. Undefined where the row has nothing: a blank field of CSV, a null of Parquet, a member that is missing. */
  readonly values: readonly (string | undefined)[];
  /** From 1, without the header. */
  readonly number: number;
  /** From 1. Undefined where there are no lines. */
  readonly line: number | undefined;
}

/** How the texts of a file become JSON. */
export type ValueParsing = "infer" | "text" | "json";
