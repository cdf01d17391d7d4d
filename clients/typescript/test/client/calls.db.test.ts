import { once } from "node:events";
import { createServer, type Http2Server, type IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CuttingProxy, newCuttingProxy } from "../../../../test/resume/cutting-proxy.ts";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import {
  Code,
  clientVersion,
  createItembankClient,
  type ItembankClient,
  ItembankError,
} from "../../src/node.ts";

let service: TestService;
let proxy: CuttingProxy;
let itembank: ItembankClient;

beforeAll(async () => {
  service = await startTestService();
  proxy = await newCuttingProxy(new URL(service.url));
  itembank = createItembankClient({ url: service.url });
});

afterAll(async () => {
  itembank.close();
  await proxy.close();
  await service.close();
});

const named = (name: string) => ({ by: { case: "name", value: name } }) as const;

describe("an error", () => {
  test("has its reason, facts and violations", async () => {
    const error = await itembank.datasets
      .createDataset({ dataset: { name: "", tableName: "1" } })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ItembankError);
    expect(error).toMatchObject({
      name: "ItembankError",
      code: Code.InvalidArgument,
      reason: "INVALID_FIELD",
      facts: { field: "dataset.name", violation_count: "2" },
      violations: [{ field: "dataset.name" }, { field: "dataset.table_name" }],
      retryable: false,
      retryDelayMs: undefined,
    });
  });

  test("is the reason of the signal once a call is aborted", async () => {
    const reason = new Error("enough");
    const call = itembank.datasets.listDatasets({}, { signal: AbortSignal.abort(reason) });
    await expect(call).rejects.toBe(reason);
  });

  test("is recognized by instanceof", () => {
    expect(new Error("x") instanceof ItembankError).toBe(false);
  });
});

describe("a call", () => {
  test("that is retried after its response was lost takes effect once", async () => {
    const through = createItembankClient({ url: proxy.url, retry: { initialDelayMs: 5 } });
    await through.limits();
    // The connection breaks once the request has passed, before the response can arrive.
    let cuts = 0;
    proxy.strikeAfter(60, () => {
      cuts++;
      setImmediate(() => proxy.cut());
    });
    const { dataset } = await through.datasets.createDataset({ dataset: { name: "once" } });
    expect(cuts).toBe(1);
    expect(dataset?.name).toBe("once");
    through.close();
  });

  test("fails after the last attempt", async () => {
    const nobody = createItembankClient({
      url: "http://127.0.0.1:1",
      retry: { callAttempts: 3, initialDelayMs: 1 },
    });
    await expect(nobody.limits()).rejects.toMatchObject({ code: Code.Unavailable, retryable: true });
    nobody.close();
  });

  test("has a deadline that covers all attempts", async () => {
    const nobody = createItembankClient({
      url: "http://127.0.0.1:1",
      timeoutMs: 50,
      retry: { callAttempts: 1e9 },
    });
    const begin = performance.now();
    await expect(nobody.limits()).rejects.toBeInstanceOf(ItembankError);
    expect(performance.now() - begin).toBeLessThan(5_000);
    nobody.close();
  });

  test("is not retried where that cannot help", async () => {
    const begin = performance.now();
    const slow = createItembankClient({ url: service.url, retry: { initialDelayMs: 60_000 } });
    await expect(slow.datasets.getDataset({ dataset: named("nowhere") })).rejects.toMatchObject({
      reason: "DATASET_NOT_FOUND",
    });
    expect(performance.now() - begin).toBeLessThan(30_000);
    slow.close();
  });

  test.each(["127.0.0.1:50051", "ftp://host", ""])("needs a valid URL, which %j is not", (url) => {
    expect(() => createItembankClient({ url })).toThrow(expect.objectContaining({ reason: "INVALID_FIELD" }));
  });
});

describe("headers", () => {
  let server: Http2Server;
  let url: string;
  const seen: IncomingHttpHeaders[] = [];
  beforeAll(async () => {
    server = createServer((request, response) => {
      seen.push(request.headers);
      response.writeHead(200, { "content-type": "application/grpc", "grpc-status": "12" });
      response.end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());

  test("include the name of the client, and no credentials by default", async () => {
    const client = createItembankClient({ url });
    await expect(client.limits()).rejects.toMatchObject({ code: Code.Unimplemented });
    expect(seen.at(-1)?.["user-agent"]).toBe(`itembank-client-ts/${clientVersion}`);
    expect(seen.at(-1)).not.toHaveProperty("authorization");
    client.close();
  });

  test("include the token and the given headers, evaluated before every call", async () => {
    let asked = 0;
    const client = createItembankClient({
      url,
      userAgent: "pipeline/1.4",
      token: async () => `token-${++asked}`,
      headers: { "x-tenant": "a" },
    });
    await client.limits().catch(() => undefined);
    await client.limits().catch(() => undefined);
    await client
      .streamItems({ dataset: "a" })
      .next()
      .catch(() => undefined);
    await client.system.getServerInfo({}, { headers: { "x-tenant": "b" } }).catch(() => undefined);
    expect(seen.slice(-4)).toMatchObject([
      {
        authorization: "Bearer token-1",
        "x-tenant": "a",
        "user-agent": `pipeline/1.4 itembank-client-ts/${clientVersion}`,
      },
      { authorization: "Bearer token-2" },
      { authorization: "Bearer token-3", "x-tenant": "a" },
      { authorization: "Bearer token-4", "x-tenant": "b" },
    ]);
    client.close();
  });
});

describe("a stream", () => {
  test("ends when its reader stops", async () => {
    const closed = Promise.withResolvers<void>();
    const server = createServer().listen(0, "127.0.0.1");
    server.on("stream", (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
      // One message without any field. More might follow.
      stream.write(Buffer.alloc(5));
      stream.on("error", () => undefined).once("close", closed.resolve);
    });
    await once(server, "listening");
    const client = createItembankClient({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    });
    for await (const { frame } of client.datasets.watchDataset({ dataset: named("any") })) {
      expect(frame.case).toBeUndefined();
      break;
    }
    await closed.promise;
    client.close();
    server.close();
  });
});
