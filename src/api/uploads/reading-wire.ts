import { create } from "@bufbuild/protobuf";
import {
  ColumnReading_Dropped,
  ColumnReading_Kind,
  FileReadingSchema,
  type FileReading as WireReading,
} from "../../../gen/itembank/v1/upload_pb.js";
import type { ColumnKind, DropReason, FileReading } from "../../files/file-reading.ts";
import { formatToWire } from "./upload-wire.ts";

/** Columns that an answer lists. A file with more has thousands of members per item, which nobody checks one by one. */
const maxColumns = 1_000;

const kinds: Readonly<Record<ColumnKind, ColumnReading_Kind>> = {
  text: ColumnReading_Kind.TEXT,
  number: ColumnReading_Kind.NUMBER,
  boolean: ColumnReading_Kind.BOOLEAN,
  json: ColumnReading_Kind.JSON,
};

const reasons: Readonly<Record<DropReason, ColumnReading_Dropped>> = {
  blank: ColumnReading_Dropped.BLANK,
  index: ColumnReading_Dropped.INDEX,
};

/** Converts how a file was read to its wire message. */
export function readingToWire({ format, isExport, csv }: FileReading): WireReading {
  if (csv === undefined)
    return create(FileReadingSchema, { format: formatToWire(format), exported: isExport });
  return create(FileReadingSchema, {
    format: formatToWire(format),
    delimiter: csv.delimiter,
    hasHeader: csv.hasHeader,
    columns: csv.columns.slice(0, maxColumns).map(({ name, kind, dropped }) => ({
      name,
      kind: kind === undefined ? ColumnReading_Kind.UNSPECIFIED : kinds[kind],
      dropped: dropped === undefined ? ColumnReading_Dropped.UNSPECIFIED : reasons[dropped],
    })),
    blankRowCount: BigInt(csv.blankRowCount),
    exported: isExport,
    bareTextCount: BigInt(csv.bareTexts),
  });
}
