import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import type {
  StreamUpsertItemsRequestSchema,
  StreamUpsertItemsResponse,
  UpsertOpenSchema,
  UpsertService,
} from "../../gen/itembank/v1/upsert_service_pb.js";
import type { ItemInit } from "../items/item-service.ts";

/** A frame that a client sends. */
export type Frame = NonNullable<MessageInitShape<typeof StreamUpsertItemsRequestSchema>["frame"]>;

/** Returns the first frame. */
export function open(value: MessageInitShape<typeof UpsertOpenSchema>): Frame {
  return { case: "open", value };
}

/** Returns a frame of rows with bodies, the first of which has this number. */
export function batch(offset: number, items: ItemInit[]): Frame {
  return { case: "batch", value: { offset: BigInt(offset), items } };
}

/** Returns the last frame. */
export function commit(count: number): Frame {
  return { case: "commit", value: { itemCount: BigInt(count) } };
}

/** Sends frames and returns their answers. Without a commit among the frames, the import stays open. */
export async function send(
  upserts: Client<typeof UpsertService>,
  frames: readonly Frame[],
): Promise<StreamUpsertItemsResponse["frame"][]> {
  const answers: StreamUpsertItemsResponse["frame"][] = [];
  async function* requests() {
    for (const frame of frames) yield { frame };
  }
  for await (const { frame } of upserts.streamUpsertItems(requests())) answers.push(frame);
  return answers;
}

/** Sends frames and returns the receipt that ends the import. */
export async function receiptOf(
  upserts: Client<typeof UpsertService>,
  frames: readonly Frame[],
): Promise<Receipt> {
  const last = (await send(upserts, frames)).at(-1);
  if (last?.case !== "receipt") throw new Error("the import did not end in a receipt");
  return last.value;
}
