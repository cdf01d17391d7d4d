/**
 * Measures how fast versions are read:
 *
 * - a stream of all items, as a ratio to COPY of the same rows out of the same table in the same run. The client only
 *   receives frames as they arrive, as it does with COPY: decoding them is not part of the measurement;
 * - the latest version with ten and with ten thousand versions before it, and the first page and page 10,000, as ratios of
 *   their times.
 *
 *     node bench/reading.ts [items]      default: 1,000,000
 */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Client, credentials } from "@grpc/grpc-js";
import Table from "cli-table3";
import type pg from "pg";
import { to as copyTo } from "pg-copy-streams";
import { ItemView } from "../gen/itembank/v1/item_pb.js";
import {
  ItemService,
  StreamItemsRequestSchema,
  StreamItemsResponseSchema,
} from "../gen/itembank/v1/item_service_pb.js";
import { UpsertMode } from "../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import { importBatches } from "./importer.ts";
import { type BenchRows, benchRows, sizeOf } from "./rows.ts";
import { startBenchService } from "./service.ts";

const count = Number(process.argv[2] ?? 1_000_000);
const rows = benchRows(count);

const named = (name: string) => ({ by: { case: "name" as const, value: name } });
const asIs = (bytes: Buffer) => bytes;
const figure = (value: number) => Math.round(value).toLocaleString("en");
const median = (values: readonly number[]) =>
  values.toSorted((one, other) => one - other)[values.length >> 1] as number;

const service = await startBenchService();
const transport = createGrpcTransport({ baseUrl: service.url });
const upserts = createClient(UpsertService, transport);
const items = createClient(ItemService, transport);
// With the clients' default window of 64 KiB, the benchmark would only measure round trips.
const raw = new Client(new URL(service.url).host, credentials.createInsecure(), {
  "grpc-node.flow_control_window": 16 * 1024 ** 2,
});

/** Streams a version and returns the seconds that took. Frames are dropped as they arrive. */
async function stream(request: MessageInitShape<typeof StreamItemsRequestSchema>): Promise<number> {
  const bytes = Buffer.from(toBinary(StreamItemsRequestSchema, create(StreamItemsRequestSchema, request)));
  const began = performance.now();
  let last = Buffer.alloc(0);
  for await (const frame of raw.makeServerStreamRequest(
    "/itembank.v1.ItemService/StreamItems",
    asIs,
    asIs,
    bytes,
  )) {
    last = frame;
  }
  const seconds = (performance.now() - began) / 1000;
  const { frame } = fromBinary(StreamItemsResponseSchema, last);
  if (frame.case !== "end" || frame.value.itemCount !== BigInt(count)) throw new Error("items are missing");
  return seconds;
}

/** Returns the seconds that COPY takes to read the same rows, in the order of the listing. */
async function copyOut(database: pg.Client): Promise<number> {
  const began = performance.now();
  const copy = database.query(
    copyTo(
      `copy (
         select item_id, input, expected_output, metadata, splits, content_hash, changeset_id
         from item_revisions where dataset_id = (select dataset_id from dataset_names where name = 'bench')
       ) to stdout`,
    ),
  );
  for await (const _ of copy);
  return (performance.now() - began) / 1000;
}

/** Makes a dataset of `size` items with `versions` versions, each of which changes one item. */
async function withHistory(name: string, size: number, versions: number): Promise<void> {
  await importBatches(upserts, name, UpsertMode.MERGE, benchRows(size));
  for (let version = 2; version <= versions; version++) {
    const { itemId, expectedOutput, metadata } = benchRows(size).at(version % size);
    const changed = {
      itemId,
      inputJson: `"${version}"`,
      expectedOutputJson: expectedOutput,
      metadataJson: metadata,
    };
    await upserts.upsertItems({ dataset: named(name), items: [changed] });
  }
}

/** Returns the microseconds that each of two calls takes, alternating between them, so that other load affects both alike. */
async function compare(times: number, one: () => Promise<unknown>, other: () => Promise<unknown>) {
  const timed = async (call: () => Promise<unknown>) => {
    const began = performance.now();
    await call();
    return (performance.now() - began) * 1000;
  };
  const [first, second]: [number[], number[]] = [[], []];
  for (let n = 0; n < times; n++) {
    first.push(await timed(one));
    second.push(await timed(other));
  }
  return [median(first), median(second)] as const;
}

/** Returns the page token that continues after `position` items. */
async function tokenBehind(name: string, bench: BenchRows, position: number): Promise<string> {
  let pageToken = "";
  for (let at = 0; at < position; at += 1_000) {
    const page = await items.listItems({
      dataset: named(name),
      view: ItemView.KEYS,
      pageSize: 1_000,
      pageToken,
    });
    pageToken = page.nextPageToken;
  }
  if (bench.count < position) throw new Error("there are fewer items than that");
  return pageToken;
}

try {
  console.log(`${figure(count)} items of ${sizeOf(rows)} bytes\n`);
  await importBatches(upserts, "bench", UpsertMode.MERGE, rows);
  const streams = new Table({
    head: ["round", "items/s", "COPY's rows/s", "of COPY", "peak MiB"],
    style: { head: [], border: [] },
  });
  for (const round of ["warm-up", "1", "2", "3"]) {
    const bare = await copyOut(service.database);
    const seconds = await stream({ dataset: named("bench") });
    streams.push([
      round,
      figure(count / seconds),
      figure(count / bare),
      (bare / seconds).toFixed(2),
      String(await service.peakMemory()),
    ]);
  }
  console.log(streams.toString());

  const pages = new Table({ head: ["", "µs", "", "µs", "ratio"], style: { head: [], border: [] } });
  const size = 1_000;
  await withHistory("short", size, 10);
  await withHistory("long", size, Number(process.argv[3] ?? 10_000));
  const page = (name: string, view: ItemView, pageToken = "", pageSize = 50) =>
    items.listItems({ dataset: named(name), view, pageSize, pageToken });
  const [a, b] = await compare(
    200,
    () => page("short", ItemView.FULL),
    () => page("long", ItemView.FULL),
  );
  pages.push(["a page, 10 versions", figure(a), "10,000 versions", figure(b), (b / a).toFixed(2)]);
  const whole = (name: string) => async () => {
    for await (const _ of items.streamItems({ dataset: named(name) }));
  };
  const [c, d] = await compare(60, whole("short"), whole("long"));
  pages.push([`${size} items, 10 versions`, figure(c), "10,000 versions", figure(d), (d / c).toFixed(2)]);
  const get = (name: string) => () =>
    items.getItem({ dataset: named(name), itemId: benchRows(size).at(7).itemId });
  const [e, f] = await compare(300, get("short"), get("long"));
  pages.push(["an item, 10 versions", figure(e), "10,000 versions", figure(f), (f / e).toFixed(2)]);

  const depth = Math.floor((count * 0.95) / 1_000) * 1_000;
  const perPage = Math.max(1, Math.floor(depth / 10_000));
  const deep = await tokenBehind("bench", rows, depth);
  const first = await tokenBehind("bench", rows, 1_000);
  const [g, h] = await compare(
    200,
    () => page("bench", ItemView.KEYS, first, perPage),
    () => page("bench", ItemView.KEYS, deep, perPage),
  );
  pages.push([
    `page 1 of ${perPage}`,
    figure(g),
    `page ${figure(depth / perPage)}`,
    figure(h),
    (h / g).toFixed(2),
  ]);
  console.log(pages.toString());
  console.log(`\nThe service had at most ${await service.peakMemory()} MiB resident.`);
} finally {
  raw.close();
  await service.close();
}
