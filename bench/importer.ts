import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Receipt } from "../gen/itembank/v1/receipt_pb.js";
import type { UpsertMode } from "../gen/itembank/v1/upsert_pb.js";
import type { StreamUpsertItemsRequestSchema, UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import { contentHash } from "../src/items/content-hash.ts";
import type { BenchRow, BenchRows } from "./rows.ts";

type Frame = MessageInitShape<typeof StreamUpsertItemsRequestSchema>;

/** The outcome of an import. */
export interface Imported {
  readonly receipt: Receipt;
  /** From the first frame to the receipt. */
  readonly seconds: number;
  /** From the commit to the receipt. */
  readonly publishSeconds: number;
}

/** The most unacknowledged rows in flight: the limit of a client that can read its source again. */
const maxUnacknowledged = 50_000;

/** Streams rows with their bodies, as a simple client does. */
export async function importBatches(
  client: Client<typeof UpsertService>,
  name: string,
  mode: UpsertMode,
  rows: BenchRows,
): Promise<Imported> {
  return run(client, { name, mode, itemCount: rows.count }, async function* (acknowledged) {
    for (let offset = 0; offset < rows.count; offset += 1_000) {
      await acknowledged(offset - maxUnacknowledged);
      const items = Array.from(window(rows, offset, 1_000), toItem);
      yield { frame: { case: "batch", value: { offset: BigInt(offset), items } } };
    }
  });
}

/** Offers rows by id and hash, and sends the bodies that the service lacks. */
export async function importOffers(
  client: Client<typeof UpsertService>,
  name: string,
  mode: UpsertMode,
  rows: BenchRows,
): Promise<Imported> {
  return run(client, { name, mode, itemCount: rows.count }, async function* (acknowledged, wanted) {
    for (let offset = 0; offset < rows.count; offset += 10_000) {
      await acknowledged(offset - maxUnacknowledged);
      const entries = Array.from(window(rows, offset, 10_000), (row) => ({
        itemId: row.itemId,
        contentHash: contentHash(row),
      }));
      yield { frame: { case: "offer", value: { offset: BigInt(offset), entries } } };
      yield* supplies(wanted.splice(0), rows);
    }
    await acknowledged(Number.NEGATIVE_INFINITY, rows.count);
    yield* supplies(wanted.splice(0), rows);
    await acknowledged(rows.count);
  });
}

/** Yields consecutive rows. */
function* window(rows: BenchRows, first: number, count: number): Generator<BenchRow> {
  for (let position = first; position < Math.min(first + count, rows.count); position++)
    yield rows.at(position);
}

function* supplies(numbers: readonly number[], rows: BenchRows): Generator<Frame> {
  for (let first = 0; first < numbers.length; first += 1_000) {
    const items = numbers.slice(first, first + 1_000).map((number) => toItem(rows.at(number)));
    yield { frame: { case: "supply", value: { items } } };
  }
}

/** Waits until that many rows are complete and that many offered rows are answered. */
type Acknowledged = (complete: number, answered?: number) => Promise<void>;

async function run(
  client: Client<typeof UpsertService>,
  { name, mode, itemCount }: { name: string; mode: UpsertMode; itemCount: number },
  rowFrames: (acknowledged: Acknowledged, wanted: number[]) => AsyncGenerator<Frame>,
): Promise<Imported> {
  const wanted: number[] = [];
  let complete = 0;
  let answered = 0;
  let wake: () => void = () => undefined;
  const acknowledged: Acknowledged = async (rows, offered = 0) => {
    while (complete < rows || answered < offered) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  let committed = 0;
  const frames = async function* (): AsyncGenerator<Frame> {
    yield {
      frame: {
        case: "open",
        value: {
          dataset: { by: { case: "name", value: name } },
          requestId: randomUUID(),
          options: { createIfMissing: true, mode },
        },
      },
    };
    yield* rowFrames(acknowledged, wanted);
    await acknowledged(itemCount);
    committed = performance.now();
    yield { frame: { case: "commit", value: { itemCount: BigInt(itemCount) } } };
  };
  const began = performance.now();
  for await (const { frame } of client.streamUpsertItems(frames())) {
    if (frame.case === "receipt") {
      const ended = performance.now();
      return {
        receipt: frame.value,
        seconds: (ended - began) / 1000,
        publishSeconds: (ended - committed) / 1000,
      };
    }
    const progress = frame.case === "want" ? frame.value.progress : frame.value;
    if (frame.case === "want") {
      for (const position of frame.value.positions) wanted.push(Number(frame.value.offset) + position);
      answered = Math.max(answered, Number(frame.value.offset) + 10_000);
    }
    complete = Number(progress && "nextOffset" in progress ? progress.nextOffset : complete);
    wake();
  }
  throw new Error("the stream ended without a receipt");
}

const toItem = ({ itemId, input, expectedOutput, metadata }: BenchRow) => ({
  itemId,
  inputJson: input,
  expectedOutputJson: expectedOutput,
  metadataJson: metadata,
});
