import { FileFormat } from "../../clients/typescript/src/contract.ts";
import { fileFormats } from "../files/file-format.ts";

/** The file formats, as options name them. */
export const formatNames = fileFormats;
export type FormatName = (typeof fileFormats)[number];

export const wireFormats: Readonly<Record<FormatName, FileFormat>> = {
  csv: FileFormat.CSV,
  json: FileFormat.JSON,
  jsonl: FileFormat.JSONL,
  parquet: FileFormat.PARQUET,
};
