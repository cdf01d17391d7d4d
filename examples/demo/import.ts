import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import type { UpsertOptionsSchema } from "../../gen/itembank/v1/upsert_pb.js";
import type {
  StreamUpsertItemsRequestSchema,
  UpsertService,
} from "../../gen/itembank/v1/upsert_service_pb.js";
import { type OutgoingItem, sampleName } from "./sample.ts";

/** Rows per frame: few, so that progress is visible. A real import sends up to 1,000. */
const batchSize = 25;

/**
 * Streams rows into the sample's dataset as one import, and returns its receipt. Readers see all of it from then on, and
 * nothing before.
 *
 * @param onProgress receives the number of rows that the service has accepted.
 */
export async function streamIn(
  upserts: Client<typeof UpsertService>,
  items: readonly OutgoingItem[],
  options: MessageInitShape<typeof UpsertOptionsSchema>,
  onProgress: (rows: number) => void,
): Promise<Receipt> {
  for await (const { frame } of upserts.streamUpsertItems(frames(items, options))) {
    if (frame.case === "progress") onProgress(Number(frame.value.nextOffset));
    if (frame.case === "receipt") return frame.value;
  }
  throw new Error("the import ended without a receipt");
}

async function* frames(
  items: readonly OutgoingItem[],
  options: MessageInitShape<typeof UpsertOptionsSchema>,
): AsyncGenerator<MessageInitShape<typeof StreamUpsertItemsRequestSchema>> {
  const dataset = { by: { case: "name", value: sampleName } } as const;
  yield { frame: { case: "open", value: { dataset, requestId: randomUUID(), options } } };
  for (let offset = 0; offset < items.length; offset += batchSize) {
    const batch = { offset: BigInt(offset), items: items.slice(offset, offset + batchSize) };
    yield { frame: { case: "batch", value: batch } };
  }
  yield { frame: { case: "commit", value: { itemCount: BigInt(items.length) } } };
}
