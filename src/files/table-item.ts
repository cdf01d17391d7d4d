import { failure } from "../failure.ts";
import { contentHash } from "../items/content-hash.ts";
import type { Row } from "../items/item.ts";
import { itemIdProblem, splitsProblem } from "../items/item-checks.ts";
import { normalizeSplits } from "../items/splits.ts";
import { canonicalize, JsonProblem } from "../json/canonical-json.ts";
import { parseJson } from "../json/json-value.ts";
import { limits } from "../limits.ts";
import type { ItemColumns, PlacedPart } from "./column-mapping.ts";
import { type FilePosition, invalidFile } from "./invalid-file.ts";
import type { CellParsing, TableColumn, TableRow } from "./table.ts";

/**
 * The item that a row stands for, checked and hashed.
 *
 * @throws Failure INVALID_FILE with row and column; LIMIT_EXCEEDED
 */
export function itemOfRow(row: TableRow, columns: ItemColumns, parsing: CellParsing): Row {
  const itemId = itemIdOf(row, columns.itemId);
  const splits = splitsOf(row, columns.splits);
  const input = partOf(row, columns.input, parsing);
  const expectedOutput = columns.expectedOutput && partOf(row, columns.expectedOutput, parsing);
  // As a whole, metadata are objects, which text can only hold as JSON.
  const metadata =
    columns.metadata && partOf(row, columns.metadata, columns.metadata.kind === "whole" ? "json" : parsing);
  if (input === undefined) throw invalidFile("has no input", placeOf(row, wholeOf(row, columns.input)));
  for (const place of columns.unused) requireUnused(row, place);
  const size =
    Buffer.byteLength(input) +
    (expectedOutput === undefined ? 0 : Buffer.byteLength(expectedOutput)) +
    (metadata === undefined ? 0 : Buffer.byteLength(metadata));
  if (size > limits.maxItemBytes) {
    throw failure("LIMIT_EXCEEDED", {
      limit: "max_item_bytes",
      maximum: limits.maxItemBytes,
      received: size,
      row: row.number,
    });
  }
  const content = { input, expectedOutput, metadata };
  try {
    return { ...content, itemId, splits, contentHash: contentHash(content), size };
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error;
    throw explain(error, row, columns, parsing);
  }
}

/** The JSON text of a part; undefined where the row has nothing for it. */
function partOf(row: TableRow, part: PlacedPart, parsing: CellParsing): string | undefined {
  if (part.kind === "whole") {
    const cell = row.cells[part.place];
    return cell === undefined ? undefined : jsonOf(row.columns[part.place] as TableColumn, cell, parsing);
  }
  let json = "";
  for (const place of part.places) {
    const cell = row.cells[place];
    if (cell === undefined) continue;
    const column = row.columns[place] as TableColumn;
    json += `${json === "" ? "{" : ","}${JSON.stringify(column.name)}:${jsonOf(column, cell, parsing)}`;
  }
  return json === "" ? "{}" : `${json}}`;
}

function jsonOf({ isText, isLiteral }: TableColumn, cell: string, parsing: CellParsing): string {
  return !isText || parsing === "json" || (isLiteral && parsing === "infer") ? cell : JSON.stringify(cell);
}

/** The id as text: empty if the row has none. Numbers are taken as they are spelled. */
function itemIdOf(row: TableRow, place: number): string {
  const cell = row.cells[place];
  if (cell === undefined || cell === "") return "";
  const itemId = row.columns[place]?.isText ? cell : textOfJson(cell);
  if (itemId === "") return "";
  const problem = itemId === undefined ? "is neither a text nor a number" : itemIdProblem(itemId);
  if (problem !== undefined) throw invalidFile(problem, placeOf(row, place));
  return itemId as string;
}

/** The text that a JSON text holds, or spells as a number; empty for null; undefined for all else. */
function textOfJson(json: string): string | undefined {
  if (json === "null") return "";
  if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(json)) return json;
  const value = parsedOr(json);
  return typeof value === "string" ? value : undefined;
}

function splitsOf(row: TableRow, place: number): readonly string[] {
  const cell = row.cells[place];
  const isText = row.columns[place]?.isText;
  if (cell === undefined || cell === (isText ? "" : "null")) return [];
  const isList = !isText || cell.trimStart().startsWith("[");
  const splits = isList ? parsedOr(cell) : cell.split(";").map((name) => name.trim());
  if (!Array.isArray(splits) || !splits.every((name) => typeof name === "string")) {
    throw invalidFile("is not a list of names", placeOf(row, place));
  }
  const problem = splitsProblem(splits);
  if (problem !== undefined) throw invalidFile(problem, placeOf(row, place));
  return normalizeSplits(splits);
}

/** The value of a JSON text; undefined if it is none. */
function parsedOr(json: string): unknown {
  try {
    canonicalize(json);
    return parseJson(json);
  } catch {
    // Whoever asks says what it should have been.
    return undefined;
  }
}

/** A cell that is part of nothing has to be right all the same: half a file read is no file read. */
function requireUnused(row: TableRow, place: number): void {
  const cell = row.cells[place];
  if (cell !== undefined && !row.columns[place]?.isText) requireJson(cell, placeOf(row, place));
}

/** @throws Failure INVALID_FILE */
function requireJson(json: string, place: FilePosition): void {
  try {
    canonicalize(json);
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error;
    throw invalidFile(worded(error.path, error.problem), place);
  }
}

/** What is wrong with the JSON of a row, by the name of its column. */
function explain({ path, problem }: JsonProblem, row: TableRow, columns: ItemColumns, parsing: CellParsing) {
  const [, name = ""] = /^\$\.(\w+)/.exec(path) ?? [];
  const parts: Readonly<Record<string, PlacedPart | undefined>> = {
    input: columns.input,
    expected_output: columns.expectedOutput,
    metadata: columns.metadata,
  };
  const part = parts[name];
  for (const place of part?.kind === "members" ? part.places : []) {
    const cell = row.cells[place];
    if (cell !== undefined)
      requireJson(jsonOf(row.columns[place] as TableColumn, cell, parsing), placeOf(row, place));
  }
  return invalidFile(worded(path.slice(2 + name.length), problem), placeOf(row, part && wholeOf(row, part)));
}

/** `path` leads from the cell down. */
function worded(path: string, problem: string): string {
  return path === "" ? problem : `$${path}: ${problem}`;
}

function wholeOf(row: TableRow, part: PlacedPart): number | undefined {
  return part.kind === "whole" && row.columns[part.place] !== undefined ? part.place : undefined;
}

function placeOf({ number, line, columns }: TableRow, place: number | undefined): FilePosition {
  const column = place === undefined ? undefined : columns[place]?.name;
  return {
    row: number,
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
  };
}
