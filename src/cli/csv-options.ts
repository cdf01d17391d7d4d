import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  CsvLayout_Header,
  CsvLayout_Quoting,
  type FileLayoutSchema,
} from "../../clients/typescript/src/contract.ts";
import { type CsvLayout, csvCharacterProblem, defaultLayout } from "../files/csv-layout.ts";
import { CommandError } from "./exit-code.ts";
import type { FileSource } from "./file-source.ts";
import { collect, names } from "./option-values.ts";

/** How a CSV file is laid out. */
export interface CsvOptions {
  readonly delimiter?: string;
  readonly quote?: string;
  readonly quoting: boolean;
  readonly comment?: string;
  readonly null?: readonly string[];
  readonly header?: boolean;
  readonly columns?: readonly string[];
}

export function withCsv(command: Command): Command {
  return command
    .option("--delimiter <character>", "what separates the fields of CSV: one character, or tab", character)
    .option("--quote <character>", 'what quotes the fields of CSV (default: ")', character)
    .option("--no-quoting", "take quotes in CSV as ordinary characters")
    .option("--comment <text>", "skip lines of CSV that begin with this text")
    .option("--null <text>", "unquoted fields of CSV that count as blank; repeatable", collect(String))
    .option("--header", "the first line of CSV holds names, even if it reads like data")
    .option("--no-header", "the first line of CSV is a row already")
    .option("--columns <names>", "names (a,b,c) for the columns of CSV without a header", names);
}

/** Returns the layout that the options describe; undefined if there are none. @throws CommandError if they contradict */
export function csvLayoutOf(options: CsvOptions): CsvLayout | undefined {
  if (givenOptions(options).length === 0) return undefined;
  const { delimiter, quote, quoting, comment, header, columns } = options;
  if (quote !== undefined && !quoting)
    throw new CommandError("--quote contradicts --no-quoting", "Choose one.");
  if (header && columns !== undefined)
    throw new CommandError("--columns contradicts --header", "Choose one.");
  const quoted = quoting ? (quote ?? defaultLayout.quote) : undefined;
  if (delimiter !== undefined && delimiter === quoted) {
    throw new CommandError(
      `${delimiter} cannot both quote and separate fields`,
      "Choose another with --quote.",
    );
  }
  const isAbsent = columns !== undefined || header === false;
  return {
    delimiter,
    quote: quoted,
    comment: comment || undefined,
    nullTexts: new Set(options.null),
    header: isAbsent ? "absent" : header ? "present" : "plausible",
    columnNames: columns ?? [],
  };
}

const headers = {
  plausible: CsvLayout_Header.UNSPECIFIED,
  present: CsvLayout_Header.PRESENT,
  absent: CsvLayout_Header.ABSENT,
} as const;

/** Returns the layout as the service takes it. */
export function layoutToWire(layout: CsvLayout): MessageInitShape<typeof FileLayoutSchema> {
  const { delimiter = "", quote, comment = "", nullTexts, header, columnNames } = layout;
  return {
    csv: {
      delimiter,
      ...(quote === undefined ? { quoting: CsvLayout_Quoting.NONE } : { quote }),
      comment,
      nullTexts: [...nullTexts],
      header: headers[header],
      columnNames: [...columnNames],
    },
  };
}

/** Verifies that there are no options for CSV. @throws CommandError */
export function refuseCsvOptions(options: CsvOptions, { label, format }: FileSource): void {
  const [first] = givenOptions(options);
  if (first !== undefined) {
    throw new CommandError(
      `${first} is for CSV, but ${label} is read as ${format}`,
      "--format csv reads it as CSV.",
    );
  }
}

function givenOptions({
  delimiter,
  quote,
  quoting,
  comment,
  null: nulls,
  header,
  columns,
}: CsvOptions): string[] {
  const given: Readonly<Record<string, boolean>> = {
    "--delimiter": delimiter !== undefined,
    "--quote": quote !== undefined,
    "--no-quoting": !quoting,
    "--comment": comment !== undefined,
    "--null": nulls !== undefined,
    [header ? "--header" : "--no-header"]: header !== undefined,
    "--columns": columns !== undefined,
  };
  return Object.keys(given).filter((name) => given[name]);
}

/** Parses one character; `tab` and `\t` are the tab. @throws InvalidArgumentError */
function character(text: string): string {
  const found = text === "tab" || text === "\\t" ? "\t" : text;
  const problem = csvCharacterProblem(found);
  if (problem !== undefined) throw new InvalidArgumentError(`It ${problem}.`);
  return found;
}
