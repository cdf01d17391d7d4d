import { createHash, randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import {
  type StreamUpsertItemsRequestSchema,
  UpsertService,
} from "../../gen/itembank/v1/upsert_service_pb.js";
import { limits } from "../../src/limits.ts";
import { startTestService, type TestService } from "../support/service.ts";

/** JSON texts as they are sent, with their RFC 8785 forms. */
const payloads: readonly (readonly [sent: string, canonical: string])[] = [
  ["null", "null"],
  ["false", "false"],
  ["0", "0"],
  ['""', '""'],
  ['"null"', '"null"'],
  ['"42"', '"42"'],
  ['"[]"', '"[]"'],
  ["[]", "[]"],
  ["{}", "{}"],
  ['{"nested":[null,false,0,""]}', '{"nested":[null,false,0,""]}'],
  [String.raw`"\u0000"`, String.raw`"\u0000"`],
  [
    '{"toString":0,"constructor":{"prototype":null},"__proto__":{"a":[]}}',
    '{"__proto__":{"a":[]},"constructor":{"prototype":null},"toString":0}',
  ],
  ['{"__proto__":null}', '{"__proto__":null}'],
  ['{"z":1,"a":{"y":2,"b":3}}', '{"a":{"b":3,"y":2},"z":1}'],
  ["[1.0,1e2,1E-7,-0.0,1e21,0.10]", "[1,100,1e-7,0,1e+21,0.1]"],
  [' {\t"a" : [ 1 ,\r\n2 ] }\n', '{"a":[1,2]}'],
  ['"😀 𝒜 \u{10FFFF}"', '"😀 𝒜 \u{10FFFF}"'],
  [String.raw`"\ud83d\ude00 \u0041 \/"`, '"😀 A /"'],
  ['["é","e\u0301","\u2028\u007f\u0080"]', '["é","e\u0301","\u2028\u007f\u0080"]'],
];

/** The content of an item: the expected output and the metadata may be missing. */
interface Content {
  readonly itemId: string;
  readonly inputJson: string;
  readonly expectedOutputJson?: string;
  readonly metadataJson?: string;
}

/** The content of an item with the same payload everywhere, and its hash, spelled out as in the contract. */
function full(itemId: string, [sent, canonical]: readonly [string, string]) {
  return {
    content: { itemId, inputJson: sent, expectedOutputJson: sent, metadataJson: `{"of it": ${sent}}` },
    hash: sha256(`{"expected_output":${canonical},"input":${canonical},"metadata":{"of it":${canonical}}}`),
  };
}

/** The same without an expected output and without metadata. */
function bare(itemId: string, [sent, canonical]: readonly [string, string]) {
  return { content: { itemId, inputJson: sent }, hash: sha256(`{"input":${canonical}}`) };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

type State = readonly { readonly content: Content; readonly hash: string }[];

const itemIds = payloads.map((_, index) => `item ${String(index).padStart(2, "0")}`);

/** The versions that every writer makes: each item gets different payloads, with and without the optional members. */
const versions: readonly State[] = [0, 1, 2, 3].map((version) =>
  itemIds.map((itemId, index) => {
    const payload = payloads[(index + version) % payloads.length] ?? ["", ""];
    return version === 2 ? bare(itemId, payload) : full(itemId, payload);
  }),
);

/** Calls a method like a caller with nothing but HTTP and JSON. */
async function post(service: string, method: string, message: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${server.url}/itembank.v1.${service}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(message),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${method}: ${JSON.stringify(answer)}`);
  return answer;
}

/** An item as a reader sees it. */
interface ReadItem {
  readonly itemId: string;
  readonly inputJson: string;
  readonly expectedOutputJson?: string | undefined;
  readonly metadataJson?: string;
  readonly contentHash: Uint8Array | string;
}

function seen({ itemId, inputJson, expectedOutputJson, metadataJson, contentHash }: ReadItem) {
  const content: Content = {
    itemId,
    inputJson,
    ...(expectedOutputJson === undefined ? {} : { expectedOutputJson }),
    ...(metadataJson ? { metadataJson } : {}),
  };
  const hash = typeof contentHash === "string" ? contentHash : Buffer.from(contentHash).toString("base64");
  return { content, hash };
}

interface Writer {
  batchCreate(name: string, items: Content[]): Promise<unknown>;
  upsert(name: string, items: Content[]): Promise<unknown>;
}

interface Reader {
  get(name: string, version: number, itemId: string): Promise<ReadItem | undefined>;
  list(name: string, version: number): Promise<ReadItem[]>;
  stream(name: string, version: number): Promise<ReadItem[]>;
}

const named = (name: string) => ({ by: { case: "name" as const, value: name } });
const at = (version: number) => ({ by: { case: "version" as const, value: BigInt(version) } });

/** Writes and reads through clients of the generated services. */
function throughClients(transport: Transport): Writer & Reader {
  const items = createClient(ItemService, transport);
  const upserts = createClient(UpsertService, transport);
  return {
    batchCreate: (name, rows) => items.batchCreateItems({ dataset: named(name), items: rows }),
    upsert: (name, rows) => upserts.upsertItems({ dataset: named(name), items: rows }),
    async get(name, version, itemId) {
      return (await items.getItem({ dataset: named(name), at: at(version), itemId })).item;
    },
    async list(name, version) {
      return (await items.listItems({ dataset: named(name), at: at(version), pageSize: 1000 })).items;
    },
    async stream(name, version) {
      const all: ReadItem[] = [];
      for await (const { frame } of items.streamItems({ dataset: named(name), at: at(version) })) {
        if (frame.case === "batch") all.push(...frame.value.items);
      }
      return all;
    },
  };
}

/** The envelope of a message in a stream of the Connect protocol: a byte of flags and the length. */
const envelopeBytes = 5;

/** The same with fetch. Streams are read as the Connect protocol frames them. */
const throughFetch: Writer & Reader = {
  batchCreate: (name, items) => post("ItemService", "BatchCreateItems", { dataset: { name }, items }),
  upsert: (name, items) => post("UpsertService", "UpsertItems", { dataset: { name }, items }),
  async get(name, version, itemId) {
    return (await post("ItemService", "GetItem", { dataset: { name }, at: { version }, itemId }))
      .item as ReadItem;
  },
  async list(name, version) {
    const message = { dataset: { name }, at: { version }, pageSize: 1000 };
    return ((await post("ItemService", "ListItems", message)).items ?? []) as ReadItem[];
  },
  async stream(name, version) {
    const message = Buffer.from(JSON.stringify({ dataset: { name }, at: { version } }));
    const envelope = Buffer.alloc(envelopeBytes);
    envelope.writeUInt32BE(message.length, 1);
    const response = await fetch(`${server.url}/itembank.v1.ItemService/StreamItems`, {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: Buffer.concat([envelope, message]),
    });
    const body = Buffer.from(await response.arrayBuffer());
    const all: ReadItem[] = [];
    for (let start = 0; start < body.length; ) {
      const end = start + envelopeBytes + body.readUInt32BE(start + 1);
      const frame = JSON.parse(body.toString("utf8", start + envelopeBytes, end));
      all.push(...(frame.batch?.items ?? []));
      start = end;
    }
    return all;
  },
};

const protocols: readonly [string, () => Writer & Reader][] = [
  ["gRPC", () => throughClients(createGrpcTransport({ baseUrl: server.url }))],
  [
    "Connect with JSON",
    () =>
      throughClients(
        createConnectTransport({ baseUrl: server.url, httpVersion: "2", useBinaryFormat: false }),
      ),
  ],
  ["fetch", () => throughFetch],
];

let server: TestService;
beforeAll(async () => {
  server = await startTestService();
});
afterAll(() => server.close());

async function newDataset(): Promise<string> {
  const name = randomUUID();
  await server.client(DatasetService).createDataset({ dataset: { name } });
  return name;
}

describe.each(protocols)("items that are written with %s", (_, writer) => {
  let name: string;
  beforeAll(async () => {
    name = await newDataset();
    const [first = [], ...later] = versions.map((state) => state.map(({ content }) => content));
    await writer().batchCreate(name, first);
    for (const items of later) await writer().upsert(name, items);
  });

  describe.each(protocols)("and read with %s", (_, reader) => {
    test("are the same texts at every version, by get, list and stream, and hash as specified", async () => {
      const { get, list, stream } = reader();
      for (const [index, state] of versions.entries()) {
        const version = index + 1;
        expect((await list(name, version)).map(seen)).toEqual(state);
        expect((await stream(name, version)).map(seen)).toEqual(state);
        for (const item of state) {
          const found = await get(name, version, item.content.itemId);
          expect(found && seen(found)).toEqual(item);
        }
      }
    });
  });

  test("are unchanged when they are written back as they were read", async () => {
    const { list, upsert } = throughClients(server.transport);
    const items = (await list(name, versions.length)).map((item) => seen(item).content);
    expect(await upsert(name, items)).toMatchObject({
      receipt: { noOp: true, counts: { unchanged: BigInt(items.length) } },
    });
  });

  test.each([
    ["plain characters", (size: number) => `"${"x".repeat(size - 2)}"`],
    ["escapes", (size: number) => `"${"\\u0000".repeat((size - 2) / 6)}"`],
    ["characters of four bytes", (size: number) => `"${"😀".repeat((size - 2) / 4)}"`],
    ["brackets", (size: number) => `[${"[],".repeat((size - 4) / 3)}[]]`],
  ])("may consist of max_item_bytes of %s", async (what, payload) => {
    const itemId = `large: ${what}`;
    const inputJson = payload(limits.maxItemBytes);
    expect(Buffer.byteLength(inputJson)).toBeGreaterThan(limits.maxItemBytes - 8);
    await writer().upsert(name, [{ itemId, inputJson }]);
    for (const [, reader] of protocols) {
      const { latestVersion } = await latest(name);
      const item = await reader().get(name, Number(latestVersion), itemId);
      // Compared by identity: a diff of a megabyte would be useless.
      expect(item?.inputJson === inputJson).toBe(true);
    }
  });
});

async function latest(name: string) {
  const { dataset } = await server.client(DatasetService).getDataset({ dataset: named(name) });
  return { latestVersion: dataset?.latestVersion ?? 0n };
}

describe("items that are streamed in", () => {
  test.each([
    ["gRPC", () => createGrpcTransport({ baseUrl: server.url })],
    [
      "Connect with JSON",
      () => createConnectTransport({ baseUrl: server.url, httpVersion: "2", useBinaryFormat: false }),
    ],
  ])("with %s are the same texts", async (_, transport) => {
    const name = await newDataset();
    const [state = []] = versions;
    async function* frames(): AsyncGenerator<MessageInitShape<typeof StreamUpsertItemsRequestSchema>> {
      yield { frame: { case: "open", value: { dataset: named(name), requestId: randomUUID() } } };
      yield { frame: { case: "batch", value: { items: state.map(({ content }) => content) } } };
      yield { frame: { case: "commit", value: { itemCount: BigInt(state.length) } } };
    }
    let last: string | undefined;
    for await (const { frame } of createClient(UpsertService, transport()).streamUpsertItems(frames())) {
      last = frame.case;
    }
    expect(last).toBe("receipt");
    for (const [, reader] of protocols) expect((await reader().stream(name, 1)).map(seen)).toEqual(state);
  });
});

describe("one item that is updated", () => {
  test("loses and regains the members that are optional, and null is not their absence", async () => {
    const name = await newDataset();
    const items = server.client(ItemService);
    const created = {
      itemId: "a",
      inputJson: "null",
      expectedOutputJson: "null",
      metadataJson: '{"n":null}',
    };
    await items.createItem({ dataset: named(name), item: created });
    const update = (patch: Partial<Content>, paths: string[]) =>
      items.updateItem({ dataset: named(name), itemId: "a", patch, updateMask: { paths } });
    await update({}, ["expected_output_json", "metadata_json"]);
    await update({ expectedOutputJson: "null" }, ["expected_output_json"]);
    await update({ metadataJson: "{}" }, ["metadata_json"]);
    const { get } = throughFetch;
    expect(
      await Promise.all(
        [1, 2, 3, 4].map(async (version) => seen((await get(name, version, "a")) as ReadItem)),
      ),
    ).toEqual([
      { content: created, hash: sha256('{"expected_output":null,"input":null,"metadata":{"n":null}}') },
      { content: { itemId: "a", inputJson: "null" }, hash: sha256('{"input":null}') },
      {
        content: { itemId: "a", inputJson: "null", expectedOutputJson: "null" },
        hash: sha256('{"expected_output":null,"input":null}'),
      },
      {
        content: { itemId: "a", inputJson: "null", expectedOutputJson: "null", metadataJson: "{}" },
        hash: sha256('{"expected_output":null,"input":null,"metadata":{}}'),
      },
    ]);
  });

  test("keeps its first spelling when another one has the same hash", async () => {
    const name = await newDataset();
    const { upsert, list } = throughClients(server.transport);
    await upsert(name, [{ itemId: "a", inputJson: '{"b":1.0,"a":1e2}' }]);
    expect(await upsert(name, [{ itemId: "a", inputJson: '{"a":100,"b":1}' }])).toMatchObject({
      receipt: { noOp: true, version: 1n },
    });
    expect((await list(name, 1))[0]?.inputJson).toBe('{"b":1.0,"a":1e2}');
  });
});
