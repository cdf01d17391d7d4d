/** The format of the bytes of a file. */
export const fileFormats = ["csv", "json", "jsonl", "parquet"] as const;
export type FileFormat = (typeof fileFormats)[number];

const mimeTypes: ReadonlyMap<string, FileFormat> = new Map([
  ["text/csv", "csv"],
  ["application/csv", "csv"],
  ["text/tab-separated-values", "csv"],
  ["application/json", "json"],
  ["text/json", "json"],
  ["application/jsonl", "jsonl"],
  ["application/jsonlines", "jsonl"],
  ["application/x-jsonlines", "jsonl"],
  ["application/ndjson", "jsonl"],
  ["application/x-ndjson", "jsonl"],
  ["application/vnd.apache.parquet", "parquet"],
  ["application/parquet", "parquet"],
  ["application/x-parquet", "parquet"],
]);

const endings: ReadonlyMap<string, FileFormat> = new Map([
  ["csv", "csv"],
  ["tsv", "csv"],
  ["json", "json"],
  ["jsonl", "jsonl"],
  ["ndjson", "jsonl"],
  ["parquet", "parquet"],
]);

/** The first bytes of a Parquet file. */
const parquetMagic = Buffer.from("PAR1");

/**
 * Returns the format by the media type, or else by the extension of the file name, ignoring that of a compression;
 * undefined if neither is known.
 */
export function formatByName(mimeType: string, filename: string): FileFormat | undefined {
  const [type = ""] = mimeType.split(";");
  const [, ending = ""] = /\.([a-z]+)(?:\.(?:gz|zst))?$/.exec(filename.toLowerCase()) ?? [];
  return mimeTypes.get(type.trim().toLowerCase()) ?? endings.get(ending);
}

/** Returns the delimiter that a media type or the extension of a file name implies: a tab; undefined for all others. */
export function delimiterByName(mimeType: string, filename: string): string | undefined {
  const [type = ""] = mimeType.split(";");
  const isTabbed =
    type.trim().toLowerCase() === "text/tab-separated-values" || /\.tsv(?:\.(?:gz|zst))?$/i.test(filename);
  return isTabbed ? "\t" : undefined;
}

/** Bytes needed to recognize a format. */
export const sniffedBytes = parquetMagic.length;

/** Returns the format by the first bytes of a file; undefined if they are not characteristic. */
export function formatByBytes(first: Uint8Array): FileFormat | undefined {
  return parquetMagic.equals(first.subarray(0, parquetMagic.length)) ? "parquet" : undefined;
}
