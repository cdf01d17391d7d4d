import { invalidField } from "../failure.ts";
import { invalidFile } from "./invalid-file.ts";
import type { TableColumn, TableRow, ValueParsing } from "./table.ts";

/** The source of one part of an item: a column as it is, or several as members of an object. */
export type ColumnSource =
  | { readonly kind: "column"; readonly column: string }
  | { readonly kind: "members"; readonly members: readonly string[] };

/** A caller's mapping of columns to the parts of an item. */
export interface NamedColumns {
  readonly itemId: string | undefined;
  /** Undefined takes all columns without another use, as members. */
  readonly input: ColumnSource | undefined;
  readonly expectedOutput: ColumnSource | undefined;
  readonly metadata: ColumnSource | undefined;
  readonly splits: string | undefined;
}

/** The way from columns to items. */
export interface ColumnMapping {
  /** Undefined maps columns by their names, see `byName`. */
  readonly named: NamedColumns | undefined;
  readonly parsing: ValueParsing;
}

/** The columns of a part of an item, by their indexes; -1 for a column that these rows lack. */
export type PartColumns =
  | { readonly kind: "whole"; readonly index: number }
  | { readonly kind: "members"; readonly indexes: readonly number[] };

/** The positions of the parts of items in rows with certain columns. */
export interface ItemColumns {
  /** -1 if rows have none. */
  readonly itemId: number;
  readonly input: PartColumns;
  readonly expectedOutput: PartColumns | undefined;
  readonly metadata: PartColumns | undefined;
  /** -1 if rows have none. */
  readonly splits: number;
  /** Columns that no part uses. */
  readonly unused: readonly number[];
}

/** The mapping by default if there is a column called input: columns are parts as a whole. */
const standardColumns: NamedColumns = {
  itemId: "item_id",
  input: { kind: "column", column: "input" },
  expectedOutput: { kind: "column", column: "expected_output" },
  metadata: { kind: "column", column: "metadata" },
  splits: "splits",
};
const standardColumnNames = ["item_id", "input", "expected_output", "metadata", "splits"];

/** The mapping by default if there is no column called input: all columns are members of the input. */
const inputMembers: NamedColumns = {
  itemId: undefined,
  input: undefined,
  expectedOutput: undefined,
  metadata: undefined,
  splits: undefined,
};

/**
 * Finds the parts of items among the columns of a file. Objects may lack members that others have, so an `open` file is
 * checked row by row; in others all columns are known from the first row on.
 */
export class ColumnFinder {
  readonly #mapping: ColumnMapping;
  readonly #isOpen: boolean;
  /** The default mapping, which the first row decided. */
  #byName: NamedColumns | undefined;
  #columns: readonly TableColumn[] | undefined;
  #found: ItemColumns | undefined;
  /** Columns that the mapping names and no row has had yet, each with the field that names it. */
  readonly #missing: Map<string, string>;

  constructor(mapping: ColumnMapping, isOpen: boolean) {
    this.#mapping = mapping;
    this.#isOpen = isOpen;
    this.#missing = new Map(mapping.named === undefined ? [] : fieldsByColumn(mapping.named));
  }

  /**
   * Returns the positions of the parts of a row's item.
   *
   * @throws Failure INVALID_FIELD if the mapping names a column that does not exist; INVALID_FILE for a column that is
   * not allowed
   */
  find(row: Pick<TableRow, "columns" | "number" | "line">): ItemColumns {
    if (row.columns === this.#columns && this.#found !== undefined) return this.#found;
    const { columns } = row;
    const indexes = new Map(columns.map(({ name }, index) => [name, index]));
    for (const name of indexes.keys()) this.#missing.delete(name);
    if (!this.#isOpen) this.requireAll();
    const named = this.#mapping.named ?? this.#nameColumns(row, indexes);
    this.#found = locate(named, indexes);
    this.#columns = columns;
    return this.#found;
  }

  /** Verifies that every column that the mapping names was found. @throws Failure INVALID_FIELD */
  requireAll(): void {
    for (const [name, field] of this.#missing) {
      throw invalidField(field, `names the column ${JSON.stringify(name)}, which is not in the file`);
    }
  }

  #nameColumns(
    row: Pick<TableRow, "columns" | "number" | "line">,
    indexes: ReadonlyMap<string, number>,
  ): NamedColumns {
    const where = (column: string) => ({
      ...(this.#isOpen ? { row: row.number } : {}),
      ...(this.#isOpen && row.line !== undefined ? { line: row.line } : {}),
      column,
    });
    this.#byName ??= indexes.has("input") ? standardColumns : inputMembers;
    if (this.#byName === inputMembers) {
      if (indexes.has("input")) {
        throw invalidFile(
          "is missing in the first row; map the columns to the parts of an item explicitly",
          where("input"),
        );
      }
      return inputMembers;
    }
    for (const { name } of row.columns) {
      if (standardColumnNames.includes(name)) continue;
      throw invalidFile(
        `is not one of ${standardColumnNames.join(", ")}; map the columns to the parts of an item explicitly`,
        where(name),
      );
    }
    return standardColumns;
  }
}

function locate(named: NamedColumns, indexes: ReadonlyMap<string, number>): ItemColumns {
  const used = new Set<number>();
  const indexOf = (name: string | undefined): number => {
    const found = name === undefined ? -1 : (indexes.get(name) ?? -1);
    used.add(found);
    return found;
  };
  const part = (source: ColumnSource | undefined): PartColumns | undefined => {
    if (source === undefined) return undefined;
    if (source.kind === "column") return { kind: "whole", index: indexOf(source.column) };
    return { kind: "members", indexes: source.members.map(indexOf).filter((found) => found >= 0) };
  };
  const itemId = indexOf(named.itemId);
  const input = part(named.input);
  const expectedOutput = part(named.expectedOutput);
  const metadata = part(named.metadata);
  const splits = indexOf(named.splits);
  const unused = [...indexes.values()].filter((found) => !used.has(found));
  return {
    itemId,
    input: input ?? { kind: "members", indexes: unused },
    expectedOutput,
    metadata,
    splits,
    unused: input === undefined ? [] : unused,
  };
}

/** Returns the columns that a mapping names, each with the field that names it first. */
function fieldsByColumn(named: NamedColumns): [string, string][] {
  const fields: [string, string][] = [];
  const add = (column: string | undefined, field: string) => {
    if (column !== undefined) fields.push([column, field]);
  };
  const addSource = (source: ColumnSource | undefined, field: string) => {
    if (source === undefined) return;
    if (source.kind === "column") add(source.column, `${field}.column`);
    else
      for (const [index, member] of source.members.entries())
        add(member, `${field}.member_columns[${index}]`);
  };
  add(named.itemId, "columns.item_id_column");
  addSource(named.input, "columns.input");
  addSource(named.expectedOutput, "columns.expected_output");
  addSource(named.metadata, "columns.metadata");
  add(named.splits, "columns.splits_column");
  // Reports name the first of several fields with the same column, so it is written last.
  return fields.reverse();
}
