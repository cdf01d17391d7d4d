/** How the bytes of a file are read. */
export const fileFormats = ["csv", "json", "jsonl", "parquet"] as const;
export type FileFormat = (typeof fileFormats)[number];

const contentTypes: ReadonlyMap<string, FileFormat> = new Map([
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

/** What a Parquet file begins with. */
const parquetMagic = Buffer.from("PAR1");

/** The format that a content type tells, else the ending of a file name, but for that of a compression; undefined if neither does. */
export function formatByName(contentType: string, filename: string): FileFormat | undefined {
  const [type = ""] = contentType.split(";");
  const [, ending = ""] = /\.([a-z]+)(?:\.(?:gz|zst))?$/.exec(filename.toLowerCase()) ?? [];
  return contentTypes.get(type.trim().toLowerCase()) ?? endings.get(ending);
}

/** How many bytes it takes to tell a format by them. */
export const sniffedBytes = parquetMagic.length;

/** The format that the first bytes of a file tell; undefined if they do not. */
export function formatByBytes(first: Uint8Array): FileFormat | undefined {
  return parquetMagic.equals(first.subarray(0, parquetMagic.length)) ? "parquet" : undefined;
}
