/** A table that a statement names. */
export interface NamedTable {
  readonly schema: "datasets" | "runs";
  /** What stands behind the schema: `sales`, `sales@3`, `runs…`. As it is spelled where it stands first. */
  readonly name: string;
  /** Where it stands in the statement, in characters from 1. */
  readonly position: number;
}

/** What a statement needs to run. */
export interface Statement {
  /** Each once, in the order in which they stand first. */
  readonly tables: readonly NamedTable[];
  /** Values for $1, $2, … */
  readonly parameterCount: number;
}

/** A table and the file that holds it. */
export interface TableFile extends Pick<NamedTable, "schema" | "name"> {
  /** Absolute. */
  readonly path: string;
}

/**
 * A value for a parameter of a statement. Numbers are texts, since JSON between processes would take them for doubles. Lists
 * are of one kind and have no lists in them.
 */
export type Parameter = ScalarParameter | { readonly list: readonly ScalarParameter[] };

export type ScalarParameter =
  | { readonly null: true }
  | { readonly boolean: boolean }
  | { readonly text: string }
  /** A whole number within 128 bits. */
  | { readonly integer: string }
  | { readonly double: string };

/** What an engine may use. */
export interface EngineBounds {
  readonly memoryBytes: number;
  readonly threads: number;
}

/** Asks which tables a statement reads, and whether it is one that may run at all. Answered by `inspected` or `refused`. */
export interface InspectRequest {
  readonly do: "inspect";
  readonly sql: string;
}

/** Runs a statement. Answered by `columns`, frames of rows, and `finished`; or by `refused` at any point. Then comes `idle`. */
export interface AnswerRequest {
  readonly do: "answer";
  readonly sql: string;
  readonly parameters: readonly Parameter[];
  readonly tables: readonly TableFile[];
  readonly maxRows: number;
  /** Bytes of a frame of rows, unless one row is larger. */
  readonly maxFrameBytes: number;
  /** Bytes of one row. */
  readonly maxRowBytes: number;
  readonly bounds: EngineBounds;
}

/**
 * Writes rows to a Parquet file. They follow the request on standard input, in the binary format of PostgreSQL's COPY, all
 * columns as text. Answered by `written` or `refused`.
 */
export interface WriteRequest {
  readonly do: "write";
  readonly columns: readonly SourceColumn[];
  /** The column whose members become columns as well, if all its values are JSON objects. */
  readonly membersOf: string | undefined;
  /** Where the file goes. Absolute. */
  readonly path: string;
  /** For a file that is needed on the way there. Absolute. */
  readonly scratchPath: string;
  readonly bounds: EngineBounds;
}

/** A column of rows to write. */
export interface SourceColumn {
  readonly name: string;
  /** What it becomes: an expression of SQL over the text `CELL`. */
  readonly expression: string;
}

/**
 * Reads the rows of a Parquet file of a stranger, as what items are made of. Answered by `header`, any number of `cells`, and
 * `read`; or by `unreadable` at any point. Then comes `idle`.
 */
export interface ReadRequest {
  readonly do: "read";
  /** Absolute. */
  readonly path: string;
  /** For what does not fit into memory. Absolute. */
  readonly spillFolder: string;
  readonly bounds: EngineBounds;
}

/** A column of a file that is read. */
export interface FileColumn {
  readonly name: string;
  /** Whether its cells are texts. Else they are JSON texts. */
  readonly isText: boolean;
}

/** Where in a file something is wrong: rows count from 1. */
export interface CellPlace {
  readonly row?: number;
  readonly column?: string;
}

export type EngineRequest = InspectRequest | AnswerRequest | WriteRequest | ReadRequest;

/** A column of an answer. */
export interface AnswerColumn {
  readonly name: string;
  readonly typeName: string;
}

/** Why an engine does not do what it was asked. */
export type Refusal =
  /** The statement is none that can be run. `position` counts characters from 1. */
  | { readonly why: "statement"; readonly problem: string; readonly position: number | undefined }
  /** It names a table that is in neither schema. */
  | { readonly why: "table"; readonly table: string }
  /** It takes more memory than it may have, or has a row of more bytes. */
  | { readonly why: "size"; readonly maximumBytes: number }
  /** A fault of the engine, or of the service. For the log. */
  | { readonly why: "fault"; readonly problem: string };

export type EngineAnswer =
  | ({ readonly is: "inspected" } & Statement)
  | { readonly is: "columns"; readonly columns: readonly AnswerColumn[] }
  | { readonly is: "finished"; readonly truncated: boolean }
  | { readonly is: "written"; readonly rowCount: number }
  | { readonly is: "header"; readonly columns: readonly FileColumn[] }
  | { readonly is: "cells"; readonly cells: readonly (readonly (string | null)[])[] }
  | { readonly is: "read" }
  | { readonly is: "unreadable"; readonly problem: string; readonly place: CellPlace }
  | { readonly is: "refused"; readonly refusal: Refusal }
  | { readonly is: "idle" };
