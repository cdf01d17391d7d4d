import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { ColumnMapping } from "./column-mapping.ts";
import { ColumnFinder, pathsOf } from "./column-mapping.ts";
import { csvColumns, csvRows, literalColumns } from "./csv-table.ts";
import { decompressed } from "./decompression.ts";
import type { FileFormat } from "./file-format.ts";
import { jsonObjects } from "./json-shape.ts";
import { objectRows } from "./json-table.ts";
import { type ParquetResources, parquetRows } from "./read-parquet-table.ts";
import type { TableRow } from "./table.ts";
import { utf8Chunks } from "./utf8.ts";

/** A file whose bytes can be streamed any number of times. */
export interface SourceFile {
  readonly format: FileFormat;
  /** Whether the format was given. One that was inferred does not tell JSON from JSONL: the bytes do. */
  readonly isFormatGiven: boolean;
  open(): AsyncIterable<Uint8Array>;
}

/** The resources to read a file. */
export interface ReadResources extends ParquetResources {
  /** Maximum unpacked size of a compressed file in bytes. */
  readonly maxUploadBytes: number;
}

/** Yields the rows of a file, page by page. @throws Failure INVALID_FILE; LIMIT_EXCEEDED for one that unpacks to too much */
export async function* readTable(
  file: SourceFile,
  mapping: ColumnMapping,
  resources: ReadResources,
): AsyncGenerator<TableRow[]> {
  const text = () => utf8Chunks(decompressed(file.open(), resources.maxUploadBytes));
  switch (file.format) {
    case "csv":
      yield* csvRows(text(), await literalsOf(text, mapping));
      break;
    case "json":
    case "jsonl":
      yield* objectRows(
        jsonObjects({ format: file.format, isFormatGiven: file.isFormatGiven, open: text }),
        pathsOf(mapping.named),
      );
      break;
    case "parquet": {
      // The engine needs random access.
      await using copy = await resources.scratch.newFile();
      await pipeline(file.open(), createWriteStream(copy.path));
      yield* parquetRows(copy.path, resources);
    }
  }
}

/** Scans a CSV file for columns of numbers or booleans, if that makes a difference. */
async function literalsOf(
  text: () => AsyncIterable<Buffer>,
  mapping: ColumnMapping,
): Promise<ReadonlySet<string>> {
  if (mapping.parsing !== "infer") return new Set();
  const names = await csvColumns(text());
  const columns = names.map((name) => ({ name, isText: true, isLiteral: false }));
  const { input, expectedOutput, metadata } = new ColumnFinder(mapping, false).find({
    columns,
    number: 0,
    line: 1,
  });
  const indexes = new Set<number>();
  for (const part of [input, expectedOutput, metadata]) {
    if (part?.kind === "whole") indexes.add(part.index);
    for (const index of part?.kind === "whole" ? part.members : (part?.indexes ?? [])) indexes.add(index);
  }
  const candidates = new Set([...indexes].flatMap((index) => names[index] ?? []));
  return candidates.size === 0 ? candidates : literalColumns(text(), candidates);
}
