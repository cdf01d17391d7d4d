import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { invalidField } from "../failure.ts";
import type { ColumnMapping, PartColumns } from "./column-mapping.ts";
import { ColumnFinder, pathsOf } from "./column-mapping.ts";
import { readHead } from "./csv-head.ts";
import { type CsvLayout, defaultLayout } from "./csv-layout.ts";
import {
  type CsvKinds,
  type CsvTable,
  csvRows,
  describeColumns,
  findColumns,
  findLiterals,
  type OpenText,
} from "./csv-table.ts";
import { decompressed } from "./decompression.ts";
import { ExportEvidence, exportedRows } from "./exported-csv.ts";
import type { FileFormat } from "./file-format.ts";
import type { CsvReading, FileReading } from "./file-reading.ts";
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
  /** The delimiter that its name or media type implies, if any. */
  readonly delimiter: string | undefined;
  open(): AsyncIterable<Uint8Array>;
}

/** The resources to read a file. */
export interface ReadResources extends ParquetResources {
  /** Maximum unpacked size of a compressed file in bytes. */
  readonly maxUploadBytes: number;
}

/** How a file is to be read. */
export interface ReadRequest {
  readonly mapping: ColumnMapping;
  /** The layout of a CSV file; undefined for any other file, and for the default. */
  readonly csv: CsvLayout | undefined;
}

/** Reads the rows of a file once, and knows afterwards how. */
export class TableReader {
  readonly #file: SourceFile;
  readonly #request: ReadRequest;
  readonly #resources: ReadResources;
  #csv: Omit<CsvReading, "blankRowCount"> | undefined;
  #blankRowCount = 0;
  #isExport = false;

  constructor(file: SourceFile, request: ReadRequest, resources: ReadResources) {
    this.#file = file;
    this.#request = request;
    this.#resources = resources;
  }

  /** How the file was read. Complete once the last page is read. */
  get reading(): FileReading {
    const csv = this.#csv && { ...this.#csv, blankRowCount: this.#blankRowCount };
    return { format: this.#file.format, isExport: this.#isExport, csv };
  }

  /**
   * Yields the rows page by page.
   *
   * @throws Failure INVALID_FILE; INVALID_FIELD if the request does not fit; LIMIT_EXCEEDED for a file that unpacks to too much
   */
  async *pages(): AsyncGenerator<TableRow[]> {
    const file = this.#file;
    const { scratch, maxUploadBytes } = this.#resources;
    const text = () => utf8Chunks(decompressed(file.open(), maxUploadBytes));
    if (file.format !== "csv" && this.#request.csv !== undefined) {
      throw invalidField("layout.csv", `must be unset: the format of the file is ${file.format}`);
    }
    switch (file.format) {
      case "csv":
        yield* this.#csvPages(text);
        break;
      case "json":
      case "jsonl":
        yield* objectRows(
          jsonObjects({ format: file.format, isFormatGiven: file.isFormatGiven, open: text }),
          pathsOf(this.#request.mapping.named),
        );
        break;
      case "parquet": {
        // The engine needs random access.
        await using copy = await scratch.newFile();
        await pipeline(file.open(), createWriteStream(copy.path));
        yield* parquetRows(copy.path, this.#resources, {
          recognizes: this.#request.mapping.parsing === "infer",
          onExport: () => {
            this.#isExport = true;
          },
        });
      }
    }
  }

  async *#csvPages(text: OpenText): AsyncGenerator<TableRow[]> {
    const { csv = defaultLayout, mapping } = this.#request;
    const head = await readHead(text(), csv, this.#file.delimiter);
    const table = await findColumns(text, head, csv.header);
    const evidence = mapping.parsing === "infer" ? evidenceFor(table) : undefined;
    const found = await findKinds(text, table, mapping, evidence);
    const isExport = evidence?.isExport === true;
    const kinds = isExport ? { literals: new Map(), json: ExportEvidence.payloads } : found;
    const { dialect, hasHeader } = table;
    this.#isExport = isExport;
    this.#csv = {
      delimiter: dialect.delimiter,
      hasHeader,
      columns: describeColumns(table, kinds),
      bareTexts: isExport ? evidence.bareTexts : 0,
    };
    const rows = csvRows(text, table, kinds, () => {
      this.#blankRowCount++;
    });
    yield* isExport ? exportedRows(rows) : rows;
  }
}

/** Returns what will tell whether a CSV file is an export; undefined if its header already denies it. */
function evidenceFor({ hasHeader, columns }: CsvTable): ExportEvidence | undefined {
  const isPossible = hasHeader && ExportEvidence.isPossible(columns.map(({ name }) => name));
  return isPossible ? new ExportEvidence() : undefined;
}

/** Finds the columns of JSON and, where a mapping asks for inference, scans a CSV file for columns of numbers or booleans. */
async function findKinds(
  text: OpenText,
  table: CsvTable,
  mapping: ColumnMapping,
  evidence: ExportEvidence | undefined,
): Promise<CsvKinds> {
  const kept = table.columns.filter(({ dropped }) => dropped === undefined);
  const { input, expectedOutput, metadata } = new ColumnFinder(mapping, false).find({
    columns: kept.map(({ name }) => ({ name, isText: true, isLiteral: false })),
    // The first value of a column tells whether it contains objects.
    values: kept.map(({ index }) => table.sample.find(({ fields }) => fields[index])?.fields[index]),
    number: 0,
    line: 1,
  });
  const indexesOf = (part: PartColumns | undefined) =>
    (part === undefined ? [] : part.kind === "whole" ? [part.index, ...part.members] : part.indexes).flatMap(
      (position) => kept[position]?.index ?? [],
    );
  const objects = metadata?.kind === "whole" ? (kept[metadata.index]?.index ?? -1) : -1;
  const payload = [input, expectedOutput, metadata].flatMap(indexesOf);
  if (mapping.parsing === "json") return { literals: new Map(), json: new Set(payload) };
  const literals =
    mapping.parsing === "infer" ? await findLiterals(text, table, payload, evidence) : new Map();
  return { literals, json: new Set(objects < 0 || literals.has(objects) ? [] : [objects]) };
}
