import { randomBytes, randomUUID } from "node:crypto";
import type * as grpc from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Upload_State } from "../../gen/itembank/v1/upload_pb.js";
import { type SendUploadResponse, UploadService } from "../../gen/itembank/v1/upload_service_pb.js";
import { newGrpcJsClient, reasonOf } from "../support/grpc-js.ts";
import { expectNothingLeaked } from "../support/leaks.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { chunk, commit, open, type SendFrame, send } from "./sending.ts";

let service: TestService;
let client: ReturnType<typeof newGrpcJsClient>;
beforeAll(async () => {
  service = await startTestService({ config: { maxUploadBytes: 64 * 1024 * 1024 } });
  client = newGrpcJsClient(UploadService, service.address);
});
afterAll(async () => {
  client.close();
  await service.close();
});
afterEach(() => expectNothingLeaked(service));

const large = randomBytes(32 * 1024 * 1024);

/** Sends frames as fast as the transport accepts them, whatever the service answers meanwhile. */
function sendWithGrpcJs(frames: readonly SendFrame[]) {
  return new Promise<{ error?: grpc.ServiceError; response?: SendUploadResponse }>((resolve) => {
    const call: grpc.ClientWritableStream<SendFrame> = client.SendUpload?.(
      (error: grpc.ServiceError | null, response: SendUploadResponse) =>
        resolve(error === null ? { response } : { error }),
    );
    call.on("error", () => undefined);
    for (const frame of frames) call.write(frame);
    call.end();
  });
}

const framesOf = (requestId: string, bytes: Buffer): SendFrame[] => {
  const frames = [open(requestId)];
  for (let at = 0; at < bytes.length; at += 1 << 20)
    frames.push(chunk(at, bytes.subarray(at, at + (1 << 20))));
  return [...frames, commit(bytes)];
};

describe("a client that shares no code with the service", () => {
  test("sends 32 MiB, and gets the same answer when it sends all of it again", async () => {
    const requestId = randomUUID();
    const first = await sendWithGrpcJs(framesOf(requestId, large));
    expect(first.response?.upload).toMatchObject({
      state: Upload_State.PENDING,
      sizeBytes: BigInt(large.length),
    });
    const second = await sendWithGrpcJs(framesOf(requestId, large));
    expect(second).toEqual(first);
  });

  test("gets the answer to a finished upload that it sends again, over Connect as well", async () => {
    const requestId = randomUUID();
    const uploads = service.client(UploadService);
    const first = await send(uploads, large, {}, { requestId });
    expect(await send(uploads, large, {}, { requestId })).toEqual(first);
  });

  test("learns of a bad frame while it is still sending", async () => {
    const requestId = randomUUID();
    const [opening, ...rest] = framesOf(requestId, large);
    const { error } = await sendWithGrpcJs([opening as SendFrame, chunk(7, "x"), ...rest]);
    expect(reasonOf(error)).toBe("OFFSET_GAP");
  });

  test("is refused as soon as its file exceeds the limit", async () => {
    const requestId = randomUUID();
    const { error } = await sendWithGrpcJs(framesOf(requestId, Buffer.concat([large, large, large])));
    expect(reasonOf(error)).toBe("LIMIT_EXCEEDED");
  });
});
