import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { MessageInitShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import {
  type StreamUpsertItemsRequestSchema,
  type StreamUpsertItemsResponse,
  UpsertService,
} from "../../gen/itembank/v1/upsert_service_pb.js";
import { newCallLog } from "../support/call-log.ts";
import { newGrpcJsClient, reasonOf } from "../support/grpc-js.ts";
import { expectNothingLeaked } from "../support/leaks.ts";
import { startTestService, type TestService } from "../support/service.ts";

type Request = MessageInitShape<typeof StreamUpsertItemsRequestSchema>;
type Frame = NonNullable<Request["frame"]>;

const calls = newCallLog();
let service: TestService;
let client: ReturnType<typeof newGrpcJsClient>;
beforeAll(async () => {
  service = await startTestService({ log: calls.log });
  client = newGrpcJsClient(UpsertService, service.address);
});
afterAll(async () => {
  client.close();
  await service.close();
});

afterEach(() => expectNothingLeaked(service));

interface Call {
  readonly stream: grpc.ClientDuplexStream<Request, StreamUpsertItemsResponse>;
  readonly answers: StreamUpsertItemsResponse["frame"][];
  /** Resolves when the call ends: with its error, or undefined. */
  readonly ended: Promise<grpc.ServiceError | undefined>;
  send(frame: Frame): void;
  /** Waits until this many answers have arrived. */
  answered(count: number): Promise<void>;
}

function start(options: grpc.CallOptions = {}): Call {
  const stream = client.StreamUpsertItems?.(new grpc.Metadata(), options) as Call["stream"];
  const answers: Call["answers"] = [];
  stream.on("data", (answer: StreamUpsertItemsResponse) => answers.push(answer.frame));
  const ended = new Promise<grpc.ServiceError | undefined>((resolve) => {
    stream.on("error", resolve);
    stream.on("end", () => resolve(undefined));
  });
  return {
    stream,
    answers,
    ended,
    send: (frame) => stream.write({ frame }),
    answered: (count) => expect.poll(() => answers.length, { timeout: 5_000 }).toBeGreaterThanOrEqual(count),
  };
}

const open = (name: string, requestId: string = randomUUID(), mode = UpsertMode.MERGE): Frame => ({
  case: "open",
  value: {
    dataset: { by: { case: "name", value: name } },
    requestId,
    options: { createIfMissing: true, mode },
  },
});
const items = (offset: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({ itemId: `k${offset + i}`, inputJson: `${offset + i}` }));
const batch = (offset: number, count: number): Frame => ({
  case: "batch",
  value: { offset: BigInt(offset), items: items(offset, count) },
});
const commit = (count: number): Frame => ({ case: "commit", value: { itemCount: BigInt(count) } });

async function expectNotThere(name: string): Promise<void> {
  const datasets = service.client(DatasetService);
  await expect(datasets.getDataset({ dataset: { by: { case: "name", value: name } } })).rejects.toThrow(
    "there is no dataset",
  );
}

async function receivedSoFar(name: string, requestId: string): Promise<bigint | undefined> {
  const { receipt } = await service
    .client(UpsertService)
    .getUpsert({ dataset: { by: { case: "name", value: name } }, requestId });
  return receipt?.counts?.received;
}

describe("StreamUpsertItems, called by grpc-js", () => {
  test("answers every frame in order and ends with the receipt", async () => {
    const call = start();
    call.send(open("ordered"));
    for (let offset = 0; offset < 10_000; offset += 1000) call.send(batch(offset, 1000));
    call.send(commit(10_000));
    expect(await call.ended).toBeUndefined();
    expect(call.answers.map((one) => one.case)).toEqual([...Array(11).fill("progress"), "receipt"]);
    const offsets = call.answers.flatMap((one) =>
      one.case === "progress" ? [Number(one.value.nextOffset)] : [],
    );
    expect(offsets).toEqual(Array.from({ length: 11 }, (_, index) => index * 1000));
    expect(call.answers.at(-1)?.value).toMatchObject({ version: 1n, counts: { received: 10_000n } });
  });

  test.each([
    ["a cancelled call", (call: Call) => call.stream.cancel(), true],
    ["a half-close without commit", (call: Call) => call.stream.end(), true],
    // grpc-js does not tell the service about it.
    ["a destroyed stream", (call: Call) => call.stream.destroy(), false],
  ])("publishes nothing after %s, and resumes when opened again", async (what, cut, isHeard) => {
    const [name, requestId] = [`cut by ${what}`, randomUUID()];
    const call = start();
    call.send(open(name, requestId));
    call.send(batch(0, 500));
    await call.answered(2);
    const over = isHeard ? calls.over("StreamUpsertItems") : undefined;
    cut(call);
    await over;
    await expectNotThere(name);
    expect(await receivedSoFar(name, requestId)).toBe(500n);

    const again = start();
    again.send(open(name, requestId));
    await again.answered(1);
    expect(again.answers[0]).toMatchObject({
      case: "progress",
      value: { nextOffset: 500n, durableOffset: 500n },
    });
    again.send(batch(500, 1));
    again.send(commit(501));
    expect(await again.ended).toBeUndefined();
    expect(again.answers.at(-1)?.value).toMatchObject({ counts: { created: 501n } });
  });

  test("ends at its deadline and publishes nothing", async () => {
    const call = start({ deadline: Date.now() + 300 });
    call.send(open("late"));
    call.send(batch(0, 10));
    expect((await call.ended)?.code).toBe(grpc.status.DEADLINE_EXCEEDED);
    await expectNotThere("late");
  });

  test("publishes nothing if the socket is destroyed in the middle of a frame", async () => {
    const own = newGrpcJsClient(UpsertService, service.address);
    const stream = own.StreamUpsertItems?.() as Call["stream"];
    const failed = new Promise((resolve) => stream.on("error", resolve));
    stream.write({ frame: open("torn") });
    for (let offset = 0; offset < 100_000; offset += 1000) stream.write({ frame: batch(offset, 1000) });
    await once(stream, "data");
    // Closing the channel of a call that is still writing cuts its connection.
    stream.cancel();
    own.close();
    await failed;
    await expectNotThere("torn");
  });

  test.each([
    ["a first frame that is not an open", [batch(0, 1)], grpc.status.INVALID_ARGUMENT, "UNEXPECTED_FRAME"],
    ["a second open", [open("twice"), open("twice")], grpc.status.INVALID_ARGUMENT, "UNEXPECTED_FRAME"],
    ["a gap", [open("gap"), batch(7, 1)], grpc.status.OUT_OF_RANGE, "OFFSET_GAP"],
    ["an empty batch", [open("empty"), batch(0, 0)], grpc.status.INVALID_ARGUMENT, "INVALID_FIELD"],
    [
      "a commit too early",
      [open("early"), batch(0, 1), commit(2)],
      grpc.status.FAILED_PRECONDITION,
      "INCOMPLETE_STREAM",
    ],
    [
      "1,001 items in a batch",
      [open("many"), batch(0, 1001)],
      grpc.status.INVALID_ARGUMENT,
      "LIMIT_EXCEEDED",
    ],
  ] satisfies [string, Frame[], grpc.status, string][])("refuses %s", async (_, frames, code, reason) => {
    const call = start();
    for (const frame of frames) call.send(frame);
    const error = await call.ended;
    expect([error?.code, reasonOf(error)]).toEqual([code, reason]);
  });

  test("refuses a frame beyond the message limit with RESOURCE_EXHAUSTED, and keeps earlier frames", async () => {
    const [name, requestId] = ["oversize", randomUUID()];
    const call = start();
    call.send(open(name, requestId));
    call.send(batch(0, 3));
    await call.answered(2);
    call.send({
      case: "batch",
      value: { offset: 3n, items: [{ itemId: "big", inputJson: `"${"x".repeat(5 * 1024 * 1024)}"` }] },
    });
    expect((await call.ended)?.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
    expect(await receivedSoFar(name, requestId)).toBe(3n);
  });

  test("lists all bad rows of a frame by their index in the import, and keeps the frames before it", async () => {
    const [name, requestId] = ["bad rows", randomUUID()];
    const call = start();
    call.send(open(name, requestId));
    call.send(batch(0, 10));
    call.send({
      case: "batch",
      value: {
        offset: 10n,
        items: [
          { itemId: "fine", inputJson: "1" },
          { itemId: "long", inputJson: '{"n":9007199254740993}' },
          { itemId: "fine too", inputJson: "{}" },
          { itemId: "twice", inputJson: "{}", metadataJson: '{"a":1,"a":2}' },
        ],
      },
    });
    const error = await call.ended;
    expect([error?.code, reasonOf(error)]).toEqual([grpc.status.INVALID_ARGUMENT, "INVALID_JSON"]);
    expect(error?.details).toContain("$.input.n in row 11");
    const [details] = error?.metadata.get("grpc-status-details-bin") ?? [];
    const text = Buffer.from(details ?? "").toString("latin1");
    expect(text).toContain("batch.items[1].input_json");
    expect(text).toContain("batch.items[3].metadata_json");
    expect(await receivedSoFar(name, requestId)).toBe(10n);
  });

  test("buffers a bounded number of frames for a slow reader", async () => {
    const call = start();
    call.stream.pause();
    call.send(open("slow reader"));
    for (let offset = 0; offset < 50_000; offset += 1000) call.send(batch(offset, 1000));
    call.send(commit(50_000));
    await calls.over("StreamUpsertItems");
    call.stream.resume();
    expect(await call.ended).toBeUndefined();
    expect(call.answers.at(-1)?.value).toMatchObject({ version: 1n, itemCount: 50_000n });
  });
});

describe("a service that stops", () => {
  test("ends open streams with SHUTTING_DOWN, and another service resumes the import", async () => {
    const stopping = await startTestService({ database: service.database });
    const own = newGrpcJsClient(UpsertService, stopping.address);
    const [name, requestId] = ["moved", randomUUID()];
    const stream = own.StreamUpsertItems?.() as Call["stream"];
    const ended = new Promise<grpc.ServiceError>((resolve) => stream.on("error", resolve));
    const answered = new Promise<void>((resolve) => {
      let answers = 0;
      stream.on("data", () => {
        if (++answers === 2) resolve();
      });
    });
    stream.write({ frame: open(name, requestId) });
    stream.write({ frame: batch(0, 100) });
    await answered;
    const began = Date.now();
    await stopping.close();
    expect(Date.now() - began).toBeLessThan(5_000);
    const error = await ended;
    expect([error.code, reasonOf(error)]).toEqual([grpc.status.UNAVAILABLE, "SHUTTING_DOWN"]);
    own.close();

    const again = start();
    again.send(open(name, requestId));
    again.send(commit(100));
    expect(await again.ended).toBeUndefined();
    expect(again.answers[0]).toMatchObject({ case: "progress", value: { nextOffset: 100n } });
    expect(again.answers[1]?.value).toMatchObject({ version: 1n });
  });
});
