/**
 * Measures how fast versions answer SQL and become files. Queries are reported as ratios to DuckDB itself on the same Parquet
 * file, in this process, with as many threads and nothing around it; exports as ratios to a bare COPY of the same rows in the
 * same run.
 *
 *     node bench/queries.ts [items]      default: 1,000,000
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { DuckDBInstance } from "@duckdb/node-api";
import Table from "cli-table3";
import { QueryService } from "../gen/itembank/v1/query_service_pb.js";
import { FileFormat } from "../gen/itembank/v1/upload_pb.js";
import { UpsertMode } from "../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import { quoted } from "../src/db/duckdb.ts";
import { copyBare } from "./copy.ts";
import { importBatches } from "./importer.ts";
import { benchRows } from "./rows.ts";
import { startBenchService } from "./service.ts";

const count = Number(process.argv[2] ?? 1_000_000);
const rows = benchRows(count);

/** How often each query that takes milliseconds is measured. */
const repetitions = 7;

const statements = [
  [
    "group by",
    (table: string) => `select length(question) as size, count(*) from ${table} group by size order by size`,
  ],
  [
    "group by a member of JSON",
    (table: string) =>
      `select metadata->>'level' as level, avg((expected_output->>'answer')::bigint) from ${table} group by level order by level`,
  ],
  ["100,000 rows of all columns", (table: string) => `select * from ${table} limit 100000`],
] as const;

const service = await startBenchService();
try {
  const transport = createGrpcTransport({ baseUrl: service.url });
  const queries = createClient(QueryService, transport);
  await importBatches(createClient(UpsertService, transport), "bench", UpsertMode.MERGE, rows);

  const ask = async (sql: string) => {
    const begin = performance.now();
    for await (const _ of queries.query({ sql, maxRows: 1_000_000n, timeout: { seconds: 60n } }));
    return performance.now() - begin;
  };
  const medianOf = async (measure: () => Promise<number>) => {
    const times: number[] = [];
    for (let n = 0; n < repetitions; n++) times.push(await measure());
    return times.toSorted((one, other) => one - other)[Math.floor(repetitions / 2)] as number;
  };

  // Start an engine process without touching the version.
  await ask("select 1");
  const [[, groupBy]] = statements;
  const cold = await ask(groupBy("datasets.bench"));

  const folder = join(service.directory, "blobs", "snapshots");
  const [name = ""] = (await readdir(folder, { recursive: true })).filter((one) => one.endsWith(".parquet"));
  const instance = await DuckDBInstance.create(":memory:", { threads: "2" });
  const connection = await instance.connect();
  const direct = async (sql: string) => {
    const begin = performance.now();
    const result = await connection.stream(sql);
    for await (const chunk of result) chunk.getRows();
    return performance.now() - begin;
  };

  const table = new Table({
    head: ["", "ms", "DuckDB itself, ms", "ratio"],
    style: { head: [], border: [] },
  });
  const figure = (value: number, digits = 0) => value.toFixed(digits);
  const line = (what: string, milliseconds: number, other: number) =>
    table.push([what, figure(milliseconds), figure(other), figure(milliseconds / other, 1)]);
  const file = `read_parquet(${quoted(join(folder, name))})`;
  for (const [what, statement] of statements) {
    const itself = await medianOf(() => direct(statement(file)));
    if (statement === groupBy) line(`${what}, first of all`, cold, itself);
    line(what, await medianOf(() => ask(statement("datasets.bench"))), itself);
  }
  connection.closeSync();
  instance.closeSync();
  console.log(
    `${count.toLocaleString("en")} items, a snapshot made in the first query\n${table.toString()}\n`,
  );

  const copySeconds = await copyBare(service.database, rows);
  const exports = new Table({
    head: ["export", "MB", "seconds", "of COPY"],
    style: { head: [], border: [] },
  });
  for (const [format, number] of [
    ["CSV", FileFormat.CSV],
    ["JSON", FileFormat.JSON],
    ["JSONL", FileFormat.JSONL],
    ["Parquet", FileFormat.PARQUET],
  ] as const) {
    const begin = performance.now();
    let bytes = 0;
    const request = { dataset: { by: { case: "name" as const, value: "bench" } }, format: number };
    for await (const { frame } of queries.exportItems(request)) {
      if (frame.case === "chunk") bytes += frame.value.data.length;
    }
    const seconds = (performance.now() - begin) / 1000;
    exports.push([format, figure(bytes / 1e6), figure(seconds, 1), figure(copySeconds / seconds, 2)]);
  }
  console.log(exports.toString());
  console.log(`\nThe service had at most ${await service.peakMemory()} MiB resident.`);
} finally {
  await service.close();
}
