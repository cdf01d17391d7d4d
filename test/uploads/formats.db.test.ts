import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import { CellParsing, Upload_State } from "../../gen/itembank/v1/upload_pb.js";
import { UploadService } from "../../gen/itembank/v1/upload_service_pb.js";
import { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import { parseBlobLocation } from "../../src/blobs/blob-location.ts";
import { quoted } from "../../src/db/duckdb.ts";
import { type S3Server, s3ServerBinary, startS3Server } from "../blobs/s3-server.ts";
import { expectNothingLeaked } from "../support/leaks.ts";
import { refusalOf, refused } from "../support/refusal.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { importFile, itemsOf, type SpelledItem, send } from "./sending.ts";

/** Items with payloads of all kinds, in the order of their ids. */
const items: readonly SpelledItem[] = [
  "null",
  "false",
  "0",
  '""',
  '"null"',
  '"42"',
  "[]",
  "{}",
  '{"nested":[null,false,0,""]}',
  '"\\u0000"',
  "1.50",
  "-1e-7",
  '{"b":1,"a":[{"d":2},{"c":3}]}',
  '{"__proto__":1,"constructor":2}',
  '"comma, \\"quote\\"\\r\\nline; äß漢😀"',
].map((payload, at) => ({
  id: `item ${String(at).padStart(2, "0")}`,
  input: payload,
  ...(at % 3 === 0 ? {} : { expectedOutput: payload }),
  ...(at % 4 === 0 ? {} : { metadata: `{"m":${payload}}` }),
  ...(at % 5 === 0 ? {} : { splits: ["a;b", "train"] }),
}));

const names = ["item_id", "input", "expected_output", "metadata", "splits"] as const;
const partsOf = ({ id, input, expectedOutput, metadata, splits }: SpelledItem) => [
  JSON.stringify(id),
  input,
  expectedOutput,
  metadata,
  splits && JSON.stringify(splits),
];

function asObject(item: SpelledItem): string {
  const members = partsOf(item).flatMap((part, at) => (part === undefined ? [] : [`"${names[at]}":${part}`]));
  return `{${members.join(",")}}`;
}

function asCsv(all: readonly SpelledItem[]): string {
  const lines = all.map((item) =>
    [item.id, ...partsOf(item).slice(1)]
      .map((part) => (part === undefined ? "" : `"${part.replaceAll('"', '""')}"`))
      .join(","),
  );
  return [names.join(","), ...lines].join("\r\n");
}

async function asParquet(all: readonly SpelledItem[]): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), "itembank-parquet-"));
  const file = join(folder, "items.parquet");
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run(
    `create table items (${names.map((name) => `${name} ${name === "splits" ? "varchar[]" : "varchar"}`).join(", ")})`,
  );
  for (const { id, input, expectedOutput, metadata, splits } of all) {
    const list = splits === undefined ? "null" : `[${splits.map(quoted).join(", ")}]`;
    await connection.run(`insert into items values ($1, $2, $3, $4, ${list})`, [
      id,
      input,
      expectedOutput ?? null,
      metadata ?? null,
    ]);
  }
  await connection.run(`copy items to ${quoted(file)} (format parquet, row_group_size 2048)`);
  connection.closeSync();
  instance.closeSync();
  const bytes = await readFile(file);
  await rm(folder, { recursive: true });
  return bytes;
}

const files: readonly (readonly [string, () => string | Buffer | Promise<Buffer>])[] = [
  ["items.jsonl", () => items.map(asObject).join("\n")],
  ["items.json", () => `[${items.map(asObject).join(",\n")}]`],
  ["items.csv", () => asCsv(items)],
  ["items.csv.gz", () => gzipSync(asCsv(items))],
  ["items.parquet", () => asParquet(items)],
];

/** Reads the files of ExportItems. */
const columns = { cellParsing: CellParsing.JSON };

describe("all formats", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService();
  });
  afterAll(() => service.close());
  afterEach(() => expectNothingLeaked(service));

  test.each(files)("%s becomes its items, with their spelling", async (filename, content) => {
    const { datasetId } = await importFile(service, await content(), { filename }, { columns });
    expect(await itemsOf(service, datasetId)).toEqual(items);
  });

  test("make the same version: mirroring one after another changes nothing", async () => {
    const dataset = { by: { case: "name" as const, value: `formats ${randomUUID()}` } };
    for (const [filename, content] of files) {
      const receipt = await importFile(
        service,
        await content(),
        { filename },
        {
          dataset,
          columns,
          options: { createIfMissing: true, mode: UpsertMode.MIRROR },
        },
      );
      expect(receipt).toMatchObject({
        version: 1n,
        noOp: filename !== "items.jsonl",
        itemCount: BigInt(items.length),
      });
    }
  });

  test("are checked against the schemas of the dataset", async () => {
    const { dataset } = await service.client(DatasetService).createDataset({
      dataset: {
        name: `strict ${randomUUID()}`,
        inputSchemaJson: '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}',
      },
    });
    const ref = { by: { case: "datasetId" as const, value: dataset?.datasetId ?? "" } };
    const uploads = service.client(UploadService);
    const { uploadId } = await send(uploads, "n,s\n1,a\n2,b\n2.5,c\n", { filename: "a.csv" });
    const call = uploads.applyUpload({ source: { case: "uploadId", value: uploadId }, dataset: ref });
    expect(await refusalOf(call)).toEqual(
      refused("InvalidArgument", "SCHEMA_VIOLATION", { index: "2", path: "$.input.n", keyword: "type" }),
    );
    const { upload } = await uploads.getUpload({ by: { case: "uploadId", value: uploadId } });
    expect(upload?.state).toBe(Upload_State.PENDING);
    expect(
      (await importFile(service, "n,s\n1,a\n2,b\n", { filename: "a.csv" }, { dataset: ref, options: {} }))
        .version,
    ).toBe(1n);
  });

  test("that are damaged leave the service unharmed, 10 at once", async () => {
    const whole = await asParquet(items);
    const all = await Promise.allSettled(
      Array.from({ length: 10 }, (_, at) =>
        importFile(service, whole.subarray(0, Math.floor((whole.length * (at + 1)) / 11)), {
          filename: "a.parquet",
        }),
      ),
    );
    for (const one of all) {
      expect(one.status).toBe("rejected");
      if (one.status === "rejected")
        expect((await refusalOf(Promise.reject(one.reason))).reason).toBe("INVALID_FILE");
    }
    expect((await importFile(service, whole, { filename: "a.parquet" }, { columns })).itemCount).toBe(
      BigInt(items.length),
    );
  });
});

describe.skipIf(s3ServerBinary === undefined)(
  "files in S3 (needs versitygw on the PATH or in TEST_S3_SERVER)",
  () => {
    let server: S3Server;
    let service: TestService;
    beforeAll(async () => {
      server = await startS3Server();
      const url = `s3://${server.bucket}/files?endpoint=${server.endpoint}&region=us-east-1&path_style=true`;
      service = await startTestService({ config: { blobs: parseBlobLocation(url, "") } });
    });
    afterAll(async () => {
      await service.close();
      await server.close();
    });

    test.each(files)("%s is sent and applied", async (filename, content) => {
      const { datasetId } = await importFile(service, await content(), { filename }, { columns });
      expect(await itemsOf(service, datasetId)).toEqual(items);
    });

    test("fail with a reason to retry when it is unavailable", async () => {
      const uploads = service.client(UploadService);
      const { uploadId } = await send(uploads, "a\n1\n", { filename: "a.csv" });
      await server.close();
      const refusal = refused("Unavailable", "STORAGE_UNAVAILABLE");
      expect(await refusalOf(send(uploads, "abc"))).toEqual(refusal);
      const call = uploads.applyUpload({
        source: { case: "uploadId", value: uploadId },
        dataset: { by: { case: "name", value: "never made" } },
        options: { createIfMissing: true },
      });
      expect(await refusalOf(call)).toEqual(refusal);
      const { upload } = await uploads.getUpload({ by: { case: "uploadId", value: uploadId } });
      expect(upload?.state).toBe(Upload_State.PENDING);
      server = await startS3Server();
    });
  },
);
