import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import {
  type ColumnMappingSchema,
  CellParsing as WireParsing,
} from "../../clients/typescript/src/contract.ts";
import type { ColumnMapping, ColumnSource } from "../files/column-mapping.ts";
import type { ValueParsing } from "../files/table.ts";

/** Which columns of a file, or members of its objects, make up an item. */
export interface ColumnOptions {
  readonly id?: string;
  readonly input?: string;
  readonly expected?: string;
  readonly metadata?: string;
  readonly splits?: string;
  readonly cells?: ValueParsing;
}

const parsings: Readonly<Record<ValueParsing, WireParsing>> = {
  infer: WireParsing.INFER,
  text: WireParsing.TEXT,
  json: WireParsing.JSON,
};

export function withColumns(command: Command): Command {
  return command
    .option("--id <column>", "column with the item id")
    .option("--input <columns>", "column that is the input, or the columns (a,b or {a}) that are its members")
    .option("--expected <columns>", "the same for the expected output")
    .option("--metadata <columns>", "the same for the metadata")
    .option("--splits <column>", "column with the splits")
    .addOption(
      new Option("--cells <how>", "how to parse text in CSV and Parquet").choices(Object.keys(parsings)),
    );
}

/** How columns become items, as the service takes it, and whether a file may lack some of the columns. */
export interface ChosenColumns {
  readonly mapping: ColumnMapping;
  /** Whether the user named all the columns, so that a missing one is a mistake. */
  readonly isExplicit: boolean;
}

/** The columns of a file of items. */
const ofItems = {
  input: "input",
  expected: "expected_output",
  metadata: "metadata",
  splits: "splits",
} as const;

/**
 * Returns the mapping that the options ask for. With no column named except the id, a file that has a column `input` is
 * read as a file of items, as it is without any option.
 *
 * @param names the columns that are known before the file is read; undefined if none are.
 */
export function chooseColumns(options: ColumnOptions, names: readonly string[] | undefined): ChosenColumns {
  const { id, input, expected, metadata, splits, cells: parsing = "infer" } = options;
  const parts = [input, expected, metadata];
  if ([id, splits, ...parts].every((one) => one === undefined)) {
    return { mapping: { named: undefined, parsing }, isExplicit: true };
  }
  const isOfItems = names?.includes(ofItems.input) && parts.every((one) => one === undefined);
  const given = isOfItems
    ? { ...ofItems, ...(splits !== undefined && { splits }) }
    : { input, expected, metadata, splits };
  return {
    mapping: {
      named: {
        itemId: id,
        input: sourceOf(given.input),
        expectedOutput: sourceOf(given.expected),
        metadata: sourceOf(given.metadata),
        splits: given.splits,
      },
      parsing,
    },
    isExplicit: !isOfItems,
  };
}

function sourceOf(columns: string | undefined): ColumnSource | undefined {
  if (columns === undefined) return undefined;
  const [, braced] = /^\{(.*)\}$/.exec(columns) ?? [];
  const members = (braced ?? columns).split(",").map((name) => name.trim());
  return braced === undefined && members.length === 1
    ? { kind: "column", column: columns }
    : { kind: "members", members };
}

/**
 * Returns the mapping for a file that the service reads. Columns that the user did not name are left out if the file
 * lacks them.
 */
export function columnsToWire(
  { mapping: { named, parsing }, isExplicit }: ChosenColumns,
  names: readonly string[] | undefined,
): MessageInitShape<typeof ColumnMappingSchema> {
  const has = (name: string | undefined) => name !== undefined && (isExplicit || names?.includes(name));
  const source = (one: ColumnSource | undefined) => {
    if (one === undefined) return undefined;
    if (one.kind === "members") return { memberColumns: [...one.members] };
    return has(one.column) ? { column: one.column } : undefined;
  };
  const [input, expectedOutput, metadata] = [named?.input, named?.expectedOutput, named?.metadata].map(
    source,
  );
  return {
    itemIdColumn: named?.itemId ?? "",
    ...(input && { input }),
    ...(expectedOutput && { expectedOutput }),
    ...(metadata && { metadata }),
    splitsColumn: has(named?.splits) ? (named?.splits ?? "") : "",
    cellParsing: parsings[parsing],
  };
}
