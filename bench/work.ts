/**
 * Measures how long a worker waits for its next cell: from sending a result until it holds another assignment, which takes
 * one durable transaction. Each time is reported as a ratio to a call of RecordResults with one result in the same run: the
 * cost for a client that distributes the cells by other means.
 *
 *     node bench/work.ts [cells]      default: 100,000, at least 20,000
 */
import { PassThrough } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import Table from "cli-table3";
import { RunService, type WorkRunRequestSchema } from "../gen/itembank/v1/run_service_pb.js";
import { UpsertMode } from "../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import type { WorkAssignment } from "../gen/itembank/v1/work_pb.js";
import { importBatches } from "./importer.ts";
import { benchRows } from "./rows.ts";
import { startBenchService } from "./service.ts";

type Request = MessageInitShape<typeof WorkRunRequestSchema>;

const count = Math.max(Number(process.argv[2] ?? 100_000), 20_000);
const items = benchRows(count);
const dataset = { by: { case: "name", value: "bench" } } as const;

/** Milliseconds of waits, in ascending order. */
type Waits = readonly number[];

/** Runs a worker that answers at once, and returns how long it waited for each next assignment, in milliseconds. */
async function work(
  client: Client<typeof RunService>,
  { runId, workerId, capacity }: { runId: string; workerId: string; capacity: number },
  cells: number,
): Promise<number[]> {
  const outgoing = new PassThrough({ objectMode: true });
  const waits: number[] = [];
  let answered = 0;
  let sent = 0;
  const send = (request: Request) => outgoing.write(request);
  send({ frame: { case: "hello", value: { runId, workerId, capacity } } });
  for await (const { frame } of client.workRun(outgoing as AsyncIterable<Request>)) {
    if (frame.case !== "assignments" || outgoing.writableEnded) continue;
    if (sent > 0) waits.push(performance.now() - sent);
    if (answered >= cells) {
      // Its last cells are for others.
      send({ frame: { case: "release", value: {} } });
      outgoing.end();
      continue;
    }
    answered += frame.value.assignments.length;
    sent = performance.now();
    send({ frame: { case: "results", value: { results: frame.value.assignments.map(answer) } } });
  }
  return waits;
}

function answer({ leaseId, item, repetition }: WorkAssignment) {
  const itemId = item?.itemId ?? "";
  return {
    leaseId,
    result: { itemId, repetition, outcome: { case: "outputJson", value: '{"answer":42}' } as const },
  };
}

/** Measures sequential calls of RecordResults that record one result each. */
async function record(client: Client<typeof RunService>, runId: string, calls: number): Promise<Waits> {
  const taken: number[] = [];
  for (let n = 0; n < calls; n++) {
    const outcome = { case: "outputJson", value: '{"answer":42}' } as const;
    const began = performance.now();
    await client.recordResults({ runId, results: [{ itemId: items.at(n).itemId, repetition: 1, outcome }] });
    taken.push(performance.now() - began);
  }
  return taken.toSorted((one, other) => one - other);
}

const quantile = (waits: Waits, share: number) => waits[Math.floor((waits.length - 1) * share)] ?? Number.NaN;

const service = await startBenchService();
try {
  const transport = () => createGrpcTransport({ baseUrl: service.url });
  const runs = createClient(RunService, transport());
  await importBatches(createClient(UpsertService, transport()), "bench", UpsertMode.MERGE, items);
  const newRun = async () => (await runs.createRun({ dataset, run: {} })).run?.runId ?? "";
  await work(runs, { runId: await newRun(), workerId: "warm-up", capacity: 1 }, 300);

  const table = new Table({
    head: ["", "waits", "median ms", "of a call", "99 % ms", "cells/s"],
    style: { head: [], border: [] },
  });
  const calls = await record(runs, await newRun(), 500);
  const call = quantile(calls, 0.5);
  table.push([
    "RecordResults, one result",
    500,
    call.toFixed(2),
    "1.0",
    quantile(calls, 0.99).toFixed(2),
    "",
  ]);
  const measure = async (what: string, runId: string, { workers = 1, capacity = 1, cells = 500 }) => {
    const began = performance.now();
    const all = await Promise.all(
      Array.from({ length: workers }, (_, n) =>
        work(createClient(RunService, transport()), { runId, workerId: `${what} ${n}`, capacity }, cells),
      ),
    );
    const seconds = (performance.now() - began) / 1000;
    const waits = all.flat().toSorted((one, other) => one - other);
    const median = quantile(waits, 0.5);
    table.push([
      what,
      waits.length,
      median.toFixed(2),
      (median / call).toFixed(1),
      quantile(waits, 0.99).toFixed(2),
      Math.round((workers * cells) / seconds).toLocaleString("en"),
    ]);
  };

  const runId = await newRun();
  await measure("1 worker, capacity 1", runId, {});
  await measure("64 workers, capacity 1", runId, { workers: 64, cells: 30 });
  await measure("64 workers, capacity 16", runId, { workers: 64, capacity: 16, cells: 64 });
  await measure("1 worker, capacity 1,000", runId, { capacity: 1_000, cells: count - 15_000 });
  await measure("1 worker, capacity 1, when most is done", runId, {});
  await measure("64 workers, capacity 1, when most is done", runId, { workers: 64, cells: 30 });
  console.log(`${count.toLocaleString("en")} cells\n\n${table.toString()}`);
} finally {
  await service.close();
}
