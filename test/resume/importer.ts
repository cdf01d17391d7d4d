import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import type { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import {
  type StreamUpsertItemsRequestSchema,
  type UpsertProgress,
  UpsertService,
} from "../../gen/itembank/v1/upsert_service_pb.js";
import { contentHash } from "../../src/items/content-hash.ts";
import { Outgoing } from "../support/outgoing.ts";

/** A row to import; an empty id means none. */
export interface ImportedRow {
  readonly itemId: string;
  readonly inputJson: string;
  readonly splits: readonly string[];
}

export interface Import {
  readonly datasetName: string;
  readonly requestId: string;
  readonly mode: UpsertMode;
  readonly rows: readonly ImportedRow[];
  /** Returns a whole number from 0 to below `below`; decides the sizes of frames and which rows are offered first. */
  readonly random: (below: number) => number;
}

/** The course of an import. */
export interface ImportReport {
  readonly receipt: Receipt;
  /** The number of streams that were opened. */
  readonly streams: number;
  /** The largest loss: rows that had been acknowledged, though not as durable, and were missing afterwards. */
  readonly mostRowsLost: number;
}

/** Whether connect-node reports an unavailable service or a broken connection. */
function isInterruption(error: unknown): error is ConnectError {
  if (!(error instanceof ConnectError)) return false;
  if (error.code === Code.Unavailable || error.code === Code.Canceled) return true;
  // A reset connection. Errors of the service itself carry details.
  return error.code === Code.Aborted && error.details.length === 0;
}

/** The most frames without an answer: enough to keep the server busy, few enough to be interrupted in the middle. */
const mostUnanswered = 32;

/** A frame of an import, as a client sends it. */
export type Request = MessageInitShape<typeof StreamUpsertItemsRequestSchema>;
type Frame = NonNullable<Request["frame"]>;

/**
 * Imports rows, and resumes after every failure until it has the receipt. Some rows are offered first, some are sent again
 * although the server has them.
 *
 * @param recovered Awaited before the next attempt; resolves once the broken part works again.
 * @throws Error if an error is not due to a broken connection, or if the server loses rows that it had reported as durable.
 */
export async function importWithResumptions(
  transport: Transport,
  theImport: Import,
  recovered: () => Promise<unknown>,
): Promise<ImportReport> {
  const progress = { next: 0, durable: 0, mostRowsLost: 0 };
  for (let streams = 1; ; streams++) {
    try {
      return {
        receipt: await runStream(transport, theImport, progress),
        streams,
        mostRowsLost: progress.mostRowsLost,
      };
    } catch (error) {
      if (!isInterruption(error)) throw error;
    }
    await recovered();
  }
}

/** Runs one stream, from the present offset of the import to its receipt. */
async function runStream(
  transport: Transport,
  { datasetName, requestId, mode, rows, random }: Import,
  known: { next: number; durable: number; mostRowsLost: number },
): Promise<Receipt> {
  const outgoing = new Outgoing<Request>();
  const note = ({ nextOffset, durableOffset }: UpsertProgress) => {
    if (nextOffset < known.durable) {
      throw new Error(`row ${nextOffset} is wanted again, but ${known.durable} rows were durable`);
    }
    known.mostRowsLost = Math.max(known.mostRowsLost, known.next - Number(nextOffset));
    known.next = Number(nextOffset);
    known.durable = Math.max(known.durable, Number(durableOffset));
  };

  const maxUnanswered = 1 + random(mostUnanswered);
  let unanswered = 0;
  let position = 0;
  let missing: ImportedRow[] = [];
  const send = (frame: Frame) => {
    outgoing.push({ frame });
    unanswered++;
  };
  /** Sends the next frame: wanted bodies, or the next rows, or the commit once nothing is outstanding. */
  const sendNext = (): boolean => {
    const size = 1 + random(400);
    if (missing.length > 0) {
      send({ case: "supply", value: { items: missing.slice(0, size).map(toItem) } });
      missing = missing.slice(size);
      return true;
    }
    if (position < rows.length) {
      const part = rows.slice(position, position + size);
      const offset = BigInt(position);
      if (random(3) > 0 && part.every((row) => row.itemId !== "")) {
        const entries = part.map((row) => ({
          itemId: row.itemId,
          contentHash: hashOf(row),
          splits: [...row.splits],
        }));
        send({ case: "offer", value: { offset, entries } });
      } else {
        send({ case: "batch", value: { offset, items: part.map(toItem) } });
      }
      position += part.length;
      return true;
    }
    if (unanswered > 0) return false;
    send({ case: "commit", value: { itemCount: BigInt(rows.length) } });
    return true;
  };

  send({
    case: "open",
    value: {
      dataset: { by: { case: "name", value: datasetName } },
      requestId,
      options: { mode, createIfMissing: true },
    },
  });
  let opened = false;
  try {
    for await (const { frame } of createClient(UpsertService, transport).streamUpsertItems(outgoing)) {
      unanswered--;
      if (frame.case === "receipt") return frame.value;
      if (frame.case === "progress") note(frame.value);
      if (frame.case === "want") {
        if (frame.value.progress) note(frame.value.progress);
        const from = Number(frame.value.offset);
        missing.push(...frame.value.positions.map((one) => rows[from + one] as ImportedRow));
      }
      if (!opened) {
        // Sending some rows again is allowed, and happens to clients that keep their own count.
        position = Math.max(0, known.next - random(50));
        opened = true;
      }
      while (unanswered < maxUnanswered && sendNext());
    }
  } finally {
    outgoing.end();
  }
  throw new ConnectError("the stream ended without a receipt", Code.Unavailable);
}

const toItem = ({ itemId, inputJson, splits }: ImportedRow) => ({ itemId, inputJson, splits: [...splits] });

const hashOf = ({ inputJson }: ImportedRow) =>
  contentHash({ input: inputJson, expectedOutput: undefined, metadata: undefined });
