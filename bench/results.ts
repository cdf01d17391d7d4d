/**
 * Measures how fast results of runs are recorded and streamed out, as ratios to COPY of the same rows into and out of the
 * same table in the same run. The client only moves frames encoded beforehand, as COPY does: decoding is not part of the
 * measurement.
 *
 *     node bench/results.ts [results]      default: 200,000
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Client, credentials } from "@grpc/grpc-js";
import Table from "cli-table3";
import type pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import {
  RunService,
  StreamRecordResultsRequestSchema,
  StreamResultsRequestSchema,
  StreamResultsResponseSchema,
} from "../gen/itembank/v1/run_service_pb.js";
import { UpsertMode } from "../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import { importBatches } from "./importer.ts";
import { benchRows } from "./rows.ts";
import { startBenchService } from "./service.ts";

const repetitions = 4;
const items = benchRows(Math.ceil(Number(process.argv[2] ?? 200_000) / repetitions));
const count = items.count * repetitions;

/**
 * Encodes results in frames of a thousand cells, with the fields that most callers set: output, times, usage and one score.
 */
function encodeFrames(runId: string): Buffer[] {
  const frames: Buffer[] = [];
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (let first = 0; first < items.count; first += 1_000) {
      const results = Array.from({ length: Math.min(1_000, items.count - first) }, (_, position) =>
        result(first + position, repetition),
      );
      const frame = create(StreamRecordResultsRequestSchema, {
        runId,
        frameNumber: BigInt(frames.length),
        results,
      });
      frames.push(Buffer.from(toBinary(StreamRecordResultsRequestSchema, frame)));
    }
  }
  return frames;
}

function result(number: number, repetition: number) {
  const seconds = 1_760_000_000n + BigInt(number);
  const output = {
    answer: number * 7,
    reasoning: "The first train has gone for an hour when the second one leaves, so they meet later.",
  };
  return {
    itemId: items.at(number).itemId,
    repetition,
    outcome: { case: "outputJson" as const, value: JSON.stringify(output) },
    startTime: { seconds, nanos: 123_456_000 },
    completeTime: { seconds: seconds + 2n, nanos: 523_456_000 },
    usage: { inputTokens: 250n, outputTokens: 40n, cost: 0.00123 },
    scores: [{ name: "correctness", value: number % 3 === 0 ? 0 : 1 }],
  };
}

const asIs = (bytes: Buffer) => bytes;

/** Sends all frames, a few of them ahead of their answers, and returns the seconds until the last is answered. */
async function record(client: Client, frames: readonly Buffer[]): Promise<number> {
  const began = performance.now();
  const call = client.makeBidiStreamRequest("/itembank.v1.RunService/StreamRecordResults", asIs, asIs);
  let sent = 0;
  let answered = 0;
  const send = () => {
    for (const frame of frames.slice(sent, answered + 16)) {
      call.write(frame);
      sent++;
    }
    if (sent === frames.length) call.end();
  };
  send();
  for await (const _ of call) {
    answered++;
    send();
  }
  return (performance.now() - began) / 1000;
}

/** Reads all results and returns the seconds that took, and the frames received. */
async function read(client: Client, runId: string): Promise<{ seconds: number; frames: Buffer[] }> {
  const request = toBinary(StreamResultsRequestSchema, create(StreamResultsRequestSchema, { runId }));
  const began = performance.now();
  const frames: Buffer[] = [];
  const call = client.makeServerStreamRequest(
    "/itembank.v1.RunService/StreamResults",
    asIs,
    asIs,
    Buffer.from(request),
  );
  for await (const frame of call) frames.push(frame);
  return { seconds: (performance.now() - began) / 1000, frames };
}

function countResults(frames: readonly Buffer[]): number {
  return frames.reduce((sum, bytes) => {
    const { frame } = fromBinary(StreamResultsResponseSchema, bytes);
    return sum + (frame.case === "batch" ? frame.value.results.length : 0);
  }, 0);
}

/** Returns the seconds that COPY takes for the same rows: out of the table, and into it after they were deleted. */
async function copyBare(database: pg.Client): Promise<{ out: number; into: number }> {
  let began = performance.now();
  const chunks: Buffer[] = [];
  for await (const chunk of database.query(copyTo("copy run_results to stdout (format binary)"))) {
    chunks.push(chunk);
  }
  const out = (performance.now() - began) / 1000;
  await database.query("truncate run_results");
  began = performance.now();
  await pipeline(
    Readable.from(chunks),
    database.query(copyFrom("copy run_results from stdin (format binary)")),
  );
  return { out, into: (performance.now() - began) / 1000 };
}

const service = await startBenchService();
try {
  const transport = createGrpcTransport({ baseUrl: service.url });
  await importBatches(createClient(UpsertService, transport), "bench", UpsertMode.MERGE, items);
  const runs = createClient(RunService, transport);
  // With the clients' default window of 64 KiB, the benchmark would only measure round trips.
  const client = new Client(new URL(service.url).host, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 64 * 1024 ** 2,
    "grpc-node.flow_control_window": 16 * 1024 ** 2,
  });
  const table = new Table({
    head: ["round", "results in/s", "of COPY in", "results out/s", "of COPY out"],
    style: { head: [], border: [] },
  });
  const figure = (seconds: number) => Math.round(count / seconds).toLocaleString("en");
  // The first round warms the service up.
  for (const round of ["warm-up", "1", "2", "3"]) {
    const { run } = await runs.createRun({
      dataset: { by: { case: "name", value: "bench" } },
      run: { repetitions },
    });
    const runId = run?.runId ?? "";
    const into = await record(client, encodeFrames(runId));
    const out = await read(client, runId);
    if (countResults(out.frames) !== count) throw new Error("results are missing");
    const copy = await copyBare(service.database);
    await service.database.query("truncate run_results");
    const ratio = (seconds: number, bare: number) => (bare / seconds).toFixed(2);
    table.push([
      round,
      figure(into),
      ratio(into, copy.into),
      figure(out.seconds),
      ratio(out.seconds, copy.out),
    ]);
  }
  client.close();
  console.log(`${count.toLocaleString("en")} results\n${table.toString()}`);
  console.log(`\nThe service had at most ${await service.peakMemory()} MiB resident.`);
} finally {
  await service.close();
}
