import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FileFormat } from "../../gen/itembank/v1/upload_pb.js";
import { UploadService } from "../../gen/itembank/v1/upload_service_pb.js";
import { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import {
  type ItemInit,
  item,
  named,
  type QueryServiceUnderTest,
  startQueryService,
} from "./query-service.ts";

let service: QueryServiceUnderTest;
let folder = "";

beforeAll(async () => {
  service = await startQueryService();
  folder = await mkdtemp(join(tmpdir(), "itembank-export-"));
});

afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

const { CSV, JSON: JSON_FORMAT, JSONL, PARQUET } = FileFormat;
const formats = [
  ["CSV", CSV],
  ["JSON", JSON_FORMAT],
  ["JSONL", JSONL],
  ["Parquet", PARQUET],
] as const;

/** Payloads that a careless writer or reader would change. */
const payloads = [
  "null",
  "false",
  "0",
  '""',
  '"null"',
  '"42"',
  '"[]"',
  "[]",
  "{}",
  '{"nested":[null,false,0,""]}',
  String.raw`"\u0000"`,
  "1.0",
  "[1e2,1E-7,-0.0,0.10]",
  "9007199254740991",
  '{"__proto__":{"a":1},"constructor":2,"toString":3}',
  '{"z":1,"a":2}',
  '{\t"a" : [ 1 ,\r\n2 ] }',
  String.raw`"\ud83d\ude00 \" \\ \/"`,
  "\"\u2028 \uFEFF ü, 'quoted'; \u007f\"",
  '"\uFEFF"',
  '{"\uFEFF":1}',
];

const oddIds = [
  "a,b",
  'quo"te',
  " space ",
  "line break?",
  "007",
  "null",
  "ü",
  "\uFEFFbom",
  "-1",
  "=1+1",
  "'x",
];

/** Items with everything that they may contain. */
function oddItems(): ItemInit[] {
  return [
    ...payloads.flatMap((payload, index) => [
      {
        itemId: `p${index}`,
        inputJson: payload,
        expectedOutputJson: payload,
        metadataJson: `{"of it":${payload}}`,
      },
      { itemId: `q${index}`, inputJson: payload },
    ]),
    ...oddIds.map((itemId) => item(itemId, itemId)),
    item("splits", 1, { splits: ["train", 'a"b', "c,d", "e;f", "ü"] }),
    item("empty metadata", 1, { metadataJson: "{}" }),
  ];
}

describe("an export", () => {
  const small: ItemInit[] = [
    item(
      "b",
      { q: "2+2?" },
      { expectedOutputJson: '"4"', metadataJson: '{"by": "me"}', splits: ["test", "all"] },
    ),
    item("a", 1),
  ];

  test.each([
    [
      "CSV",
      CSV,
      'item_id,input,expected_output,metadata,splits\r\na,1,,,\r\nb,"{""q"":""2+2?""}","""4""","{""by"":""me""}","[""all"",""test""]"\r\n',
    ],
    [
      "JSON",
      JSON_FORMAT,
      '[\n{"item_id":"a","input":1},\n{"item_id":"b","input":{"q":"2+2?"},"expected_output":"4","metadata":{"by": "me"},"splits":["all","test"]}\n]\n',
    ],
    [
      "JSONL",
      JSONL,
      '{"item_id":"a","input":1}\n{"item_id":"b","input":{"q":"2+2?"},"expected_output":"4","metadata":{"by": "me"},"splits":["all","test"]}\n',
    ],
  ])("as %s leaves out absent members, in order of item_id", async (_, format, text) => {
    await service.mirror("small", small);
    const { bytes, end } = await service.export({ dataset: named("small"), format });
    expect(bytes.toString()).toBe(text);
    expect(end).toMatchObject({ itemCount: 2n, version: 1n, sizeBytes: BigInt(bytes.length) });
    expect(Buffer.from(end.sha256)).toEqual(createHash("sha256").update(bytes).digest());
  });

  test("as Parquet has columns of texts, null where a part is absent", async () => {
    await service.mirror("small", small);
    const { bytes, end } = await service.export({ dataset: named("small"), format: PARQUET });
    expect(end).toMatchObject({ itemCount: 2n, version: 1n, sizeBytes: BigInt(bytes.length) });
    expect(Buffer.from(end.sha256)).toEqual(createHash("sha256").update(bytes).digest());
    expect(await readParquet(bytes)).toEqual({
      columns: [
        "item_id VARCHAR",
        "input VARCHAR",
        "expected_output VARCHAR",
        "metadata VARCHAR",
        "splits VARCHAR[]",
      ],
      rows: [
        ["a", "1", null, null, null],
        ["b", '{"q":"2+2?"}', '"4"', '{"by": "me"}', ["all", "test"]],
      ],
    });
  });

  test.each(formats)("as %s is the same every time", async (_, format) => {
    await service.mirror("small", small);
    const once = await service.export({ dataset: named("small"), format });
    const again = await service.export({ dataset: named("small"), format });
    expect(again.bytes).toEqual(once.bytes);
  });

  test.each(formats)("as %s may be of any version, and of some splits", async (_, format) => {
    const name = `history ${format}`;
    await service.mirror(name, [
      item("a", 1, { splits: ["x"] }),
      item("b", 2, { splits: ["x", "y"] }),
      item("c", 3),
    ]);
    await service.mirror(name, [item("a", 10, { splits: ["x"] })]);
    const count = async (more: object) =>
      (await service.export({ dataset: named(name), format, ...more })).end.itemCount;
    const first = { at: { by: { case: "version" as const, value: 1n } } };
    expect(await count({})).toBe(1n);
    expect(await count(first)).toBe(3n);
    expect(await count({ ...first, splits: ["y"] })).toBe(1n);
    expect(await count({ ...first, splits: ["y", "x"] })).toBe(2n);
    expect(await count({ ...first, splits: ["none'; drop table items --"] })).toBe(0n);
    expect(await count({ at: { by: { case: "version", value: 0n } } })).toBe(0n);
  });

  test.each([
    ["CSV", CSV, "item_id,input,expected_output,metadata,splits\r\n"],
    ["JSON", JSON_FORMAT, "[\n]\n"],
    ["JSONL", JSONL, ""],
  ])("of no items is still a file: %s", async (_, format, text) => {
    await service.mirror("small", small);
    const { bytes } = await service.export({
      dataset: named("small"),
      format,
      at: { by: { case: "version", value: 0n } },
    });
    expect(bytes.toString()).toBe(text);
  });

  test.each(formats)("as %s leaves purged items out", async (_, format) => {
    const name = `purged ${format}`;
    await service.mirror(name, [item("a", "kept"), item("b", "erased")]);
    await service.items.purgeItem({ dataset: named(name), itemId: "b" });
    const { bytes, end } = await service.export({ dataset: named(name), format });
    expect(end.itemCount).toBe(1n);
    expect(bytes.toString("latin1")).not.toContain("erased");
  });

  test.each(formats)("as %s of many items comes in chunks of at most a megabyte", async (_, format) => {
    const large = Array.from({ length: 12 }, (_, n) => item(`large ${n}`, noise(n, 250_000)));
    await service.mirror("large", large);
    const sizes: number[] = [];
    for await (const { frame } of service.queries.exportItems({ dataset: named("large"), format })) {
      if (frame.case === "chunk") sizes.push(frame.value.data.length);
    }
    expect(sizes.length).toBeGreaterThan(2);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024);
    expect(Math.min(...sizes)).toBeGreaterThan(0);
  });

  test.each(formats)(
    "as %s, applied to the same version, changes nothing, and makes an empty dataset equal",
    async (format, number) => {
      const source = `odd ${format}`;
      const { datasetId } = await service.mirror(source, oddItems());
      const { bytes } = await service.export({ dataset: named(source), format: number });

      const again = await apply(source, bytes, number, UpsertMode.MIRROR);
      expect(again).toMatchObject({
        noOp: true,
        version: 1n,
        counts: { unchanged: BigInt(oddItems().length), deleted: 0n },
      });

      const copy = await apply(`copy of ${source}`, bytes, number, UpsertMode.MERGE);
      expect(copy?.counts).toMatchObject({ created: BigInt(oddItems().length) });
      expect(await digestOf(copy?.datasetId ?? "")).toBe(await digestOf(datasetId));
      // And back again, byte for byte.
      const second = await service.export({ dataset: named(`copy of ${source}`), format: number });
      expect(second.bytes).toEqual(bytes);
    },
  );

  test("refuses invalid requests", async () => {
    await service.mirror("small", small);
    const refusalTo = (request: object) => refusalOf(service.queries.exportItems(request));
    expect(await refusalTo({ dataset: named("small") })).toEqual(invalid("format"));
    expect(await refusalTo({ dataset: named("small"), format: 99 })).toEqual(invalid("format"));
    expect(await refusalTo({ format: CSV })).toEqual(invalid("dataset"));
    expect(await refusalTo({ dataset: named("nope"), format: CSV })).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { name: "nope" }),
    );
    const at = (by: object) => ({ dataset: named("small"), format: CSV, at: { by } });
    expect(await refusalTo(at({ case: "version", value: 9n }))).toEqual(
      refused("NotFound", "VERSION_NOT_FOUND", { version: "9" }),
    );
    expect(await refusalTo(at({ case: "tag", value: "prod" }))).toEqual(
      refused("NotFound", "TAG_NOT_FOUND", { tag: "prod" }),
    );
    expect(await refusalTo({ dataset: named("small"), format: CSV, splits: [""] })).toMatchObject({
      reason: "INVALID_FIELD",
    });
  });
});

/** Makes a file a version of a dataset, which is created if necessary. */
async function apply(name: string, content: Buffer, format: FileFormat, mode: UpsertMode) {
  const uploads = service.service.client(UploadService);
  const { receipt } = await uploads.applyUpload({
    source: { case: "inlineFile", value: { format, content } },
    dataset: named(name),
    options: { mode, createIfMissing: true },
  });
  return receipt;
}

async function digestOf(datasetId: string): Promise<string> {
  const { version } = await service.datasets.getVersion({
    dataset: { by: { case: "datasetId", value: datasetId } },
  });
  return Buffer.from(version?.digest ?? []).toString("hex");
}

/** A Parquet file, read by another implementation. */
async function readParquet(bytes: Buffer) {
  const path = join(folder, "file.parquet");
  await writeFile(path, bytes);
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(`select * from read_parquet('${path}')`);
  const result = {
    columns: reader.columnNames().map((name, at) => `${name} ${reader.columnType(at)}`),
    rows: reader.getRowsJson(),
  };
  connection.closeSync();
  instance.closeSync();
  return result;
}

/** A text that compresses badly. */
function noise(seed: number, length: number): string {
  let text = "";
  for (let n = 0; text.length < length; n++) {
    text += createHash("sha256").update(`${seed} ${n}`).digest("base64");
  }
  return text.slice(0, length);
}
