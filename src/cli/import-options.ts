import type { ColumnOptions } from "./column-options.ts";
import type { FileSource } from "./file-source.ts";
import type { GuardOptions } from "./guard-options.ts";
import type { FormatName } from "./wire-formats.ts";

/** What `itembank import` can be told. */
export interface ImportOptions extends ColumnOptions, GuardOptions {
  readonly format?: FormatName;
  readonly mode: "merge" | "mirror";
  readonly plan?: boolean;
  readonly yes?: boolean;
  readonly note?: string;
  readonly expectVersion?: number;
  readonly replaceSplits?: boolean;
  readonly create: boolean;
  readonly requestId?: string;
}

/** One import: where to, from where, and how. */
export interface Import {
  readonly name: string;
  readonly source: FileSource;
  readonly options: ImportOptions;
  /** Whether it ends as a plan. */
  readonly asPlan: boolean;
}
