import { hash, randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import type { FileFormat, Upload } from "../../gen/itembank/v1/upload_pb.js";
import {
  type ApplyUploadRequestSchema,
  type SendUploadRequestSchema,
  UploadService,
} from "../../gen/itembank/v1/upload_service_pb.js";
import type { TestService } from "../support/service.ts";

export type SendFrame = MessageInitShape<typeof SendUploadRequestSchema>;

export const open = (
  requestId: string = randomUUID(),
  names: { filename?: string; mimeType?: string; format?: FileFormat } = {},
): SendFrame => ({
  frame: { case: "open", value: { requestId, ...names } },
});

export const chunk = (offset: number, data: Uint8Array | string): SendFrame => ({
  frame: { case: "chunk", value: { offset: BigInt(offset), data: Buffer.from(data) } },
});

export const commit = (bytes: Uint8Array | string): SendFrame => ({
  frame: {
    case: "commit",
    value: { sizeBytes: BigInt(Buffer.byteLength(bytes)), sha256: hash("sha256", bytes, "buffer") },
  },
});

export async function* frames(...all: SendFrame[]): AsyncGenerator<SendFrame> {
  yield* all;
}

/** Sends a file in chunks of a size. */
export async function send(
  client: Client<typeof UploadService>,
  content: Uint8Array | string,
  names: Parameters<typeof open>[1] = {},
  {
    requestId = randomUUID(),
    chunkBytes = 1024 * 1024,
  }: { readonly requestId?: string; readonly chunkBytes?: number } = {},
): Promise<Upload> {
  const bytes = Buffer.from(content);
  const { upload } = await client.sendUpload(
    (async function* () {
      yield open(requestId, names);
      for (let at = 0; at < bytes.length; at += chunkBytes)
        yield chunk(at, bytes.subarray(at, at + chunkBytes));
      yield commit(bytes);
    })(),
  );
  if (upload === undefined) throw new Error("the answer has no upload");
  return upload;
}

/** Sends a file and makes it the first version of a new dataset, or that of a named dataset. */
export async function importFile(
  service: TestService,
  content: Uint8Array | string,
  names: Parameters<typeof open>[1],
  request: Omit<MessageInitShape<typeof ApplyUploadRequestSchema>, "$typeName"> = {},
): Promise<Receipt> {
  const uploads = service.client(UploadService);
  const { uploadId } = await send(uploads, content, names);
  const { receipt } = await uploads.applyUpload({
    source: { case: "uploadId", value: uploadId },
    dataset: { by: { case: "name", value: `file ${randomUUID()}` } },
    options: { createIfMissing: true },
    ...request,
  });
  if (receipt === undefined) throw new Error("the answer has no receipt");
  return receipt;
}

/** An item in a test: payloads in their spelling. */
export interface SpelledItem {
  readonly id: string;
  readonly input: string;
  readonly expectedOutput?: string;
  readonly metadata?: string;
  readonly splits?: string[];
}

/** The items of the latest version, in the order of their ids, without absent members. */
export async function itemsOf(service: TestService, datasetId: string): Promise<SpelledItem[]> {
  const items: SpelledItem[] = [];
  const dataset = { by: { case: "datasetId", value: datasetId } } as const;
  for await (const { frame } of service.client(ItemService).streamItems({ dataset })) {
    if (frame.case !== "batch") continue;
    for (const item of frame.value.items) {
      items.push({
        id: item.itemId,
        input: item.inputJson,
        ...(item.expectedOutputJson === undefined ? {} : { expectedOutput: item.expectedOutputJson }),
        ...(item.metadataJson === "" ? {} : { metadata: item.metadataJson }),
        ...(item.splits.length === 0 ? {} : { splits: item.splits }),
      });
    }
  }
  return items;
}
