import { hash, randomBytes, randomUUID } from "node:crypto";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { FileFormat, Upload_State } from "../../gen/itembank/v1/upload_pb.js";
import { UploadService } from "../../gen/itembank/v1/upload_service_pb.js";
import { readSegments } from "../../src/uploads/read-segments.ts";
import { listSegments } from "../../src/uploads/segment-store.ts";
import { uploadHandle } from "../support/handles.ts";
import { expectNothingLeaked } from "../support/leaks.ts";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { chunk, commit, frames, open, type SendFrame, send } from "./sending.ts";

let service: TestService;
let uploads: Client<typeof UploadService>;
beforeAll(async () => {
  service = await startTestService({ config: { maxUploadBytes: 40 * 1024 * 1024 } });
  uploads = service.client(UploadService);
});
afterAll(() => service.close());
afterEach(() => expectNothingLeaked(service));

const byRequest = async (requestId: string) =>
  (await uploads.getUpload({ by: { case: "requestId", value: requestId } })).upload;

async function bytesOf(uploadId: string): Promise<Buffer> {
  const { pool, blobs } = service.resources;
  return Buffer.concat(
    await Array.fromAsync(
      readSegments(blobs, uploadHandle(uploadId), await listSegments(pool, uploadHandle(uploadId))),
    ),
  );
}

/** Sends frames, and one more that is refused: the earlier ones are kept. */
async function sendAndFail(requestId: string, ...sent: SendFrame[]): Promise<void> {
  const call = uploads.sendUpload(frames(open(requestId), ...sent, chunk(39_000_000, "x")));
  expect((await refusalOf(call)).reason).toBe("OFFSET_GAP");
}

describe("sending a file", () => {
  test("stores its bytes and returns their size, hash and format", async () => {
    const requestId = randomUUID();
    const upload = await send(uploads, "a,b\n1,2\n", { filename: "numbers.csv" }, { requestId });
    expect(upload).toMatchObject({
      uploadId: expect.stringMatching(/^upld[0-9a-z]{26}$/),
      requestId,
      state: Upload_State.PENDING,
      format: FileFormat.CSV,
      filename: "numbers.csv",
      mimeType: "",
      sizeBytes: 8n,
      datasetId: "",
      version: 0n,
    });
    expect(upload.consumeTime).toBeUndefined();
    expect(Buffer.from(upload.sha256)).toEqual(hash("sha256", "a,b\n1,2\n", "buffer"));
    const { createTime, expireTime } = upload;
    expect(Number((expireTime?.seconds ?? 0n) - (createTime?.seconds ?? 0n))).toBeCloseTo(86_400, -1);
    expect(String(await bytesOf(upload.uploadId))).toBe("a,b\n1,2\n");
    expect(await byRequest(requestId)).toEqual(upload);
    const { upload: byId } = await uploads.getUpload({ by: { case: "uploadId", value: upload.uploadId } });
    expect(byId).toEqual(upload);
  });

  test("stores 20 MiB, in chunks of any size", async () => {
    const bytes = randomBytes(20 * 1024 * 1024 + 17);
    const upload = await send(uploads, bytes, {}, { chunkBytes: 777_777 });
    expect(upload.sizeBytes).toBe(BigInt(bytes.length));
    expect((await bytesOf(upload.uploadId)).equals(bytes)).toBe(true);
  });

  test.each([
    [{ format: FileFormat.JSONL, mimeType: "text/csv", filename: "a.json" }, "x", FileFormat.JSONL],
    [{ mimeType: "text/csv; charset=utf-8", filename: "a.json" }, "x", FileFormat.CSV],
    [{ mimeType: "application/octet-stream", filename: "A.JSON" }, "x", FileFormat.JSON],
    [{ filename: "a.jsonl.gz" }, "x", FileFormat.JSONL],
    [{ filename: "a.bin" }, "PAR1…", FileFormat.PARQUET],
    [{ filename: "csv" }, "a,b", FileFormat.UNSPECIFIED],
    [{}, "{}", FileFormat.UNSPECIFIED],
  ])("infers the format of %j from %j", async (names, content, format) => {
    expect((await send(uploads, content, names)).format).toBe(format);
  });

  test("again returns the upload, without its bytes", async () => {
    const requestId = randomUUID();
    const first = await send(uploads, "abc", {}, { requestId });
    expect(await send(uploads, "abc", {}, { requestId })).toEqual(first);
    expect((await uploads.sendUpload(frames(open(requestId)))).upload).toEqual(first);
  });

  test("at once from two streams stores one complete file, and stops the other", async () => {
    for (let round = 0; round < 5; round++) {
      const requestId = randomUUID();
      const bytes = randomBytes(9 * 1024 * 1024);
      const all = await Promise.allSettled([
        send(uploads, bytes, {}, { requestId }),
        send(uploads, bytes, {}, { requestId, chunkBytes: 100_000 }),
      ]);
      const sent = all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      expect(sent.length).toBeGreaterThan(0);
      for (const one of all) {
        if (one.status === "fulfilled") continue;
        expect((await refusalOf(Promise.reject(one.reason))).reason).toMatch(
          /STREAM_SUPERSEDED|UPLOAD_NOT_READY/,
        );
      }
      expect((await bytesOf(sent[0]?.uploadId ?? "")).equals(bytes)).toBe(true);
    }
  });
});

describe("a stream that breaks", () => {
  const bytes = randomBytes(3_000_000);

  test("keeps the bytes that have arrived, and can be resumed from there", async () => {
    const requestId = randomUUID();
    await sendAndFail(requestId, chunk(0, bytes.subarray(0, 1_000_000)));
    expect(await byRequest(requestId)).toMatchObject({
      state: Upload_State.RECEIVING,
      sizeBytes: 1_000_000n,
      sha256: new Uint8Array(),
    });
    const { upload } = await uploads.sendUpload(
      frames(
        open(requestId),
        chunk(1_000_000, bytes.subarray(1_000_000, 2_000_000)),
        chunk(2_000_000, bytes.subarray(2_000_000)),
        commit(bytes),
      ),
    );
    expect(upload?.state).toBe(Upload_State.PENDING);
    expect((await bytesOf(upload?.uploadId ?? "")).equals(bytes)).toBe(true);
  });

  test("because the client left resumes where GetUpload says", async () => {
    const requestId = randomUUID();
    const large = randomBytes(12 * 1024 * 1024);
    const over = new AbortController();
    const call = uploads.sendUpload(
      (async function* () {
        yield open(requestId);
        for (let at = 0; at < 10; at++)
          yield chunk(at * 1024 * 1024, large.subarray(at << 20, (at + 1) << 20));
        // A full segment has been stored while the rest is in flight.
        await expect
          .poll(async () => (await byRequest(requestId))?.sizeBytes, { timeout: 20_000 })
          .toBeGreaterThan(0n);
        over.abort();
      })(),
      { signal: over.signal },
    );
    await expect(call).rejects.toMatchObject({ code: Code.Canceled });
    const at = Number((await byRequest(requestId))?.sizeBytes);
    expect(at).toBeGreaterThanOrEqual(8 * 1024 * 1024);
    const rest: SendFrame[] = [];
    for (let next = at; next < large.length; next += 1 << 20)
      rest.push(chunk(next, large.subarray(next, next + (1 << 20))));
    const { upload } = await uploads.sendUpload(frames(open(requestId), ...rest, commit(large)));
    expect((await bytesOf(upload?.uploadId ?? "")).equals(large)).toBe(true);
  });

  test("may be sent again from the beginning: bytes that arrived are skipped", async () => {
    const requestId = randomUUID();
    await sendAndFail(requestId, chunk(0, bytes.subarray(0, 777)));
    const upload = await send(uploads, bytes, {}, { requestId });
    expect((await bytesOf(upload.uploadId)).equals(bytes)).toBe(true);
  });

  test("without a commit is not an upload, even if it ends without an error", async () => {
    const requestId = randomUUID();
    const call = uploads.sendUpload(frames(open(requestId), chunk(0, "abc")));
    expect(await refusalOf(call)).toEqual(
      refused("InvalidArgument", "UNEXPECTED_FRAME", { expected: "chunk or commit", received: "nothing" }),
    );
    expect(await byRequest(requestId)).toMatchObject({ state: Upload_State.RECEIVING, sizeBytes: 3n });
  });

  test("keeps the bytes before a refused frame", async () => {
    const requestId = randomUUID();
    const call = uploads.sendUpload(frames(open(requestId), chunk(0, "abc"), chunk(4, "e")));
    expect(await refusalOf(call)).toEqual(
      refused("OutOfRange", "OFFSET_GAP", { next_offset: "3", received_offset: "4" }),
    );
    expect(await byRequest(requestId)).toMatchObject({ sizeBytes: 3n });
  });
});

describe("a commit that does not match the bytes", () => {
  test.each([
    ["size", commit("abcd"), { expected_size: "4", received_size: "3" }],
    ["hash", commit("abd"), { expected_size: "3", received_size: "3" }],
  ])("by %s fails, and the upload starts over", async (_, end, facts) => {
    const requestId = randomUUID();
    const call = uploads.sendUpload(frames(open(requestId), chunk(0, "abc"), end));
    expect(await refusalOf(call)).toEqual(refused("InvalidArgument", "CHECKSUM_MISMATCH", facts));
    const upload = await byRequest(requestId);
    expect(upload).toMatchObject({ state: Upload_State.RECEIVING, sizeBytes: 0n });
    expect(await bytesOf(upload?.uploadId ?? "")).toEqual(Buffer.alloc(0));
    expect((await send(uploads, "abc", {}, { requestId })).state).toBe(Upload_State.PENDING);
  });

  test("is detected when the bytes came with several streams", async () => {
    const requestId = randomUUID();
    await sendAndFail(requestId, chunk(0, "abX"));
    const call = uploads.sendUpload(frames(open(requestId), chunk(3, "d"), commit("abcd")));
    expect(await refusalOf(call)).toEqual(refused("InvalidArgument", "CHECKSUM_MISMATCH"));
  });
});

describe("a bad frame", () => {
  const id = randomUUID();
  test.each<[string, SendFrame[], object]>([
    [
      "nothing",
      [],
      refused("InvalidArgument", "UNEXPECTED_FRAME", { expected: "open", received: "nothing" }),
    ],
    ["a chunk first", [chunk(0, "a")], refused("InvalidArgument", "UNEXPECTED_FRAME", { received: "chunk" })],
    [
      "open twice",
      [open(id), open(id)],
      refused("InvalidArgument", "UNEXPECTED_FRAME", { received: "open" }),
    ],
    [
      "no content",
      [open(id), { frame: { case: undefined } }],
      refused("InvalidArgument", "UNEXPECTED_FRAME"),
    ],
    ["no request_id", [open("")], invalid("open.request_id")],
    ["not a UUID", [open("x")], invalid("open.request_id")],
    ["a long name", [open(id, { filename: "ä".repeat(128) })], invalid("open.filename")],
    ["a long type", [open(id, { mimeType: "a".repeat(256) })], invalid("open.mime_type")],
    ["an unknown format", [open(id, { format: 9 as FileFormat })], invalid("open.format")],
    ["a negative offset", [open(id), chunk(-1, "a")], invalid("chunk.offset")],
    ["no bytes", [open(id), chunk(0, "")], invalid("chunk.data")],
    [
      "too many bytes at once",
      [open(id), chunk(0, Buffer.alloc(1024 * 1024 + 1))],
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_chunk_bytes", received: "1048577" }),
    ],
    [
      "too many bytes in all",
      [open(id), chunk(40 * 1024 * 1024, "a")],
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_upload_bytes", maximum: "41943040" }),
    ],
    ["an empty file", [open(id), commit("")], invalid("commit.size_bytes")],
    [
      "half a hash",
      [open(id), { frame: { case: "commit", value: { sizeBytes: 1n, sha256: Buffer.alloc(16) } } }],
      invalid("commit.sha256"),
    ],
    [
      "a commit beyond the limit",
      [open(id), { frame: { case: "commit", value: { sizeBytes: 2n ** 40n, sha256: Buffer.alloc(32) } } }],
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_upload_bytes" }),
    ],
  ])("is refused: %s", async (_, sent, refusal) => {
    expect(await refusalOf(uploads.sendUpload(frames(...sent)))).toEqual(refusal);
  });

  test("opens nothing under a request_id that was used for another request", async () => {
    const requestId = randomUUID();
    await send(uploads, "abc", { filename: "a.csv" }, { requestId });
    expect(await refusalOf(send(uploads, "abc", { filename: "b.csv" }, { requestId }))).toEqual(
      refused("InvalidArgument", "REQUEST_ID_REUSED", { request_id: requestId }),
    );
  });
});

describe("finding, listing and deleting", () => {
  test("an upload that does not exist fails", async () => {
    const requestId = randomUUID();
    expect(await refusalOf(uploads.getUpload({ by: { case: "uploadId", value: "upld-none" } }))).toEqual(
      refused("NotFound", "UPLOAD_NOT_FOUND", { upload_id: "upld-none" }),
    );
    expect(await refusalOf(uploads.getUpload({ by: { case: "requestId", value: requestId } }))).toEqual(
      refused("NotFound", "UPLOAD_NOT_FOUND", { request_id: requestId }),
    );
    expect(await refusalOf(uploads.deleteUpload({ uploadId: "upld-none" }))).toEqual(
      refused("NotFound", "UPLOAD_NOT_FOUND", { upload_id: "upld-none" }),
    );
    expect(await refusalOf(uploads.getUpload({}))).toEqual(invalid("by"));
    expect(await refusalOf(uploads.getUpload({ by: { case: "requestId", value: "x" } }))).toEqual(
      invalid("request_id"),
    );
    expect(await refusalOf(uploads.deleteUpload({}))).toEqual(invalid("upload_id"));
  });

  test("lists pages of any size, newest first, by state", async () => {
    await service.resources.pool.query("delete from uploads");
    const sent: string[] = [];
    for (let index = 0; index < 7; index++) sent.unshift((await send(uploads, `${index}`)).uploadId);
    const receiving = randomUUID();
    await refusalOf(uploads.sendUpload(frames(open(receiving), chunk(0, "a"))));
    const list = async (states: Upload_State[], pageSize: number) => {
      const found: string[] = [];
      let pageToken = "";
      do {
        const page = await uploads.listUploads({ states, pageSize, pageToken });
        expect(page.uploads.length).toBeLessThanOrEqual(pageSize);
        found.push(...page.uploads.map((upload) => upload.uploadId));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return found;
    };
    const receivingId = (await byRequest(receiving))?.uploadId ?? "";
    for (const size of [1, 5, 7, 8, 9]) {
      expect(await list([], size)).toEqual([receivingId, ...sent]);
      expect(await list([Upload_State.PENDING], size)).toEqual(sent);
      expect(await list([Upload_State.RECEIVING, Upload_State.CONSUMED], size)).toEqual([receivingId]);
    }
    const { nextPageToken } = await uploads.listUploads({ pageSize: 1 });
    const other = uploads.listUploads({ pageToken: nextPageToken, states: [Upload_State.PENDING] });
    expect(await refusalOf(other)).toEqual(refused("InvalidArgument", "INVALID_PAGE_TOKEN"));
    expect(await refusalOf(uploads.listUploads({ states: [0] }))).toEqual(invalid("states[0]"));
    expect(await refusalOf(uploads.listUploads({ pageSize: -1 }))).toEqual(invalid("page_size"));
  });

  test("deletes an upload with its bytes, and frees its request_id", async () => {
    const requestId = randomUUID();
    const { uploadId } = await send(uploads, "abc", { filename: "a.csv" }, { requestId });
    const deletion = { uploadId, requestId: crypto.randomUUID() };
    await uploads.deleteUpload(deletion);
    await uploads.deleteUpload(deletion);
    const keys = await Array.fromAsync(service.resources.blobs.list(`uploads/${uploadId}`));
    expect(keys).toEqual([]);
    expect((await refusalOf(uploads.deleteUpload({ uploadId }))).reason).toBe("UPLOAD_NOT_FOUND");
    expect((await send(uploads, "abd", { filename: "b.csv" }, { requestId })).uploadId).not.toBe(uploadId);
  });

  test("ends the stream of an upload that is deleted meanwhile", async () => {
    const requestId = randomUUID();
    const call = uploads.sendUpload(
      (async function* () {
        yield open(requestId);
        await expect.poll(() => byRequest(requestId).catch(() => undefined)).toBeDefined();
        await uploads.deleteUpload({ uploadId: (await byRequest(requestId))?.uploadId ?? "" });
        yield chunk(0, "abc");
        yield commit("abc");
      })(),
    );
    expect((await refusalOf(call)).reason).toBe("UPLOAD_NOT_FOUND");
  });
});

describe("an unavailable storage", () => {
  test("fails the call with a reason to retry", async () => {
    // A file stands in the place of the directory.
    const broken = await startTestService({
      database: service.database,
      config: { blobs: { kind: "directory", path: "/dev/null" } },
    });
    const call = send(broken.client(UploadService), "abc");
    expect(await refusalOf(call)).toEqual(refused("Unavailable", "STORAGE_UNAVAILABLE"));
    await call.catch((error: unknown) => {
      expect(error).toBeInstanceOf(ConnectError);
      expect((error as ConnectError).rawMessage).toBe("the file storage is unavailable; retry the call");
    });
    await broken.close();
  });
});
