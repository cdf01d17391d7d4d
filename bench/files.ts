/**
 * Measures how fast files become versions, each as a ratio to a bare COPY of the same rows into the same table in the same
 * run: sending a file, and applying it, from the call to the receipt of the published version.
 *
 *     node bench/files.ts [items]      default: 1,000,000
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { DuckDBInstance } from "@duckdb/node-api";
import Table from "cli-table3";
import { CellParsing } from "../gen/itembank/v1/upload_pb.js";
import { UploadService } from "../gen/itembank/v1/upload_service_pb.js";
import { quoted } from "../src/db/duckdb.ts";
import { copyBare } from "./copy.ts";
import { type BenchRow, benchRows } from "./rows.ts";
import { startBenchService } from "./service.ts";

const rows = benchRows(Number(process.argv[2] ?? 1_000_000));

/** Rows written at a time. */
const rowsPerWrite = 10_000;

/** Text around and between the rows of a file. */
interface Framing {
  readonly before?: string;
  readonly between?: string;
  readonly after?: string;
}

/** Writes a file of all rows. By default each is a line. */
async function write(
  path: string,
  encode: (row: BenchRow) => string,
  { before = "", between = "\n", after = "\n" }: Framing = {},
): Promise<void> {
  await writeFile(path, before);
  for (let first = 0; first < rows.count; first += rowsPerWrite) {
    const count = Math.min(rowsPerWrite, rows.count - first);
    const texts = Array.from({ length: count }, (_, position) => encode(rows.at(first + position)));
    await writeFile(path, (first === 0 ? "" : between) + texts.join(between), { flag: "a" });
  }
  await writeFile(path, after, { flag: "a" });
}

const field = (text: string) => `"${text.replaceAll('"', '""')}"`;
const csvRow = ({ itemId, input, expectedOutput, metadata }: BenchRow) =>
  [itemId, field(input), field(expectedOutput), field(metadata)].join(",");
const jsonRow = ({ itemId, input, expectedOutput, metadata }: BenchRow) =>
  `{"item_id":"${itemId}","input":${input},"expected_output":${expectedOutput},"metadata":${metadata}}`;

/** Sends a file and returns its upload_id. */
async function send(client: Client<typeof UploadService>, path: string): Promise<string> {
  const requestId = randomUUID();
  const { upload } = await client.sendUpload(
    (async function* () {
      yield { frame: { case: "open" as const, value: { requestId, filename: path } } };
      const file = await open(path);
      const hash = createHash("sha256");
      let offset = 0;
      for await (const data of file.createReadStream({ highWaterMark: 1024 * 1024 })) {
        hash.update(data);
        yield { frame: { case: "chunk" as const, value: { offset: BigInt(offset), data } } };
        offset += data.length;
      }
      const value = { sizeBytes: BigInt(offset), sha256: hash.digest() };
      yield { frame: { case: "commit" as const, value } };
    })(),
  );
  return upload?.uploadId ?? "";
}

const directory = await mkdtemp(join(tmpdir(), "itembank-bench-files-"));
const service = await startBenchService();
try {
  const client = createClient(UploadService, createGrpcTransport({ baseUrl: service.url }));
  const files = ["csv", "jsonl", "json", "parquet"].map((ending) => join(directory, `rows.${ending}`));
  const [csv = "", jsonl = "", json = "", parquet = ""] = files;
  await write(csv, csvRow, { before: "item_id,input,expected_output,metadata\n" });
  await write(jsonl, jsonRow);
  await write(json, jsonRow, { before: "[", between: ",\n", after: "]" });
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run(
    `copy (select * from read_csv(${quoted(csv)}, all_varchar = true)) to ${quoted(parquet)}`,
  );
  connection.closeSync();
  instance.closeSync();

  const copies = [await copyBare(service.database, rows)];
  const results: (readonly [string, number, number, number])[] = [];
  for (const path of files) {
    const began = performance.now();
    const uploadId = await send(client, path);
    const sent = performance.now();
    const { receipt } = await client.applyUpload({
      source: { case: "uploadId", value: uploadId },
      dataset: { by: { case: "name", value: path } },
      options: { createIfMissing: true },
      columns: { cellParsing: CellParsing.JSON },
    });
    const applied = performance.now();
    if (receipt?.itemCount !== BigInt(rows.count))
      throw new Error(`${path} became ${receipt?.itemCount} items`);
    const file = await open(path);
    const { size } = await file.stat();
    await file.close();
    results.push([path, size / 2 ** 20, (sent - began) / 1000, (applied - sent) / 1000]);
  }
  copies.push(await copyBare(service.database, rows));
  const copySeconds = (copies[0] as number) / 2 + (copies[1] as number) / 2;

  const figure = (value: number) => Math.round(value).toLocaleString("en");
  const table = new Table({
    head: ["file", "MiB", "send s", "apply s", "items/s applied", "of COPY"],
    style: { head: [], border: [] },
  });
  table.push([
    "bare COPY (mean of 2)",
    "",
    "",
    copySeconds.toFixed(2),
    figure(rows.count / copySeconds),
    "1.00",
  ]);
  for (const [path, size, sendSeconds, applySeconds] of results) {
    table.push([
      path.slice(directory.length + 6),
      figure(size),
      sendSeconds.toFixed(2),
      applySeconds.toFixed(2),
      figure(rows.count / applySeconds),
      (copySeconds / applySeconds).toFixed(2),
    ]);
  }
  console.log(table.toString());
  console.log(`\nThe service had at most ${await service.peakMemory()} MiB resident.`);
} finally {
  await service.close();
  await rm(directory, { recursive: true, force: true });
}
