import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CuttingProxy, newCuttingProxy } from "../../../../test/resume/cutting-proxy.ts";
import { newTestDatabase, type TestDatabase } from "../../../../test/support/database.ts";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import { createItembankClient, type ItembankClient } from "../../src/node.ts";

let database: TestDatabase;
let service: TestService;
let proxy: CuttingProxy;
let itembank: ItembankClient;

beforeEach(async () => {
  database = await newTestDatabase();
  service = await startTestService({ database });
  proxy = await newCuttingProxy(new URL(service.url));
  itembank = createItembankClient({ url: proxy.url, retry: { initialDelayMs: 10 } });
});

afterEach(async () => {
  itembank.close();
  await proxy.close();
  await service.close();
  await database.drop();
});

/** Yields rows once, with incompressible content of about 120 bytes. */
async function* rows(count: number, revision = (_: number) => 0) {
  for (let number = 0; number < count; number++) {
    const text = createHash("sha512")
      .update(`${number} ${revision(number)}`)
      .digest("base64");
    yield { itemId: `k${number}`, input: { number, text } };
  }
}

/** Cuts all connections every `bytes` that the client sends. Returns a counter of the cuts. */
function cutEvery(bytes: number): () => number {
  let cuts = 0;
  const strike = () => {
    cuts++;
    proxy.cut();
    proxy.strikeAfter(bytes, strike);
  };
  proxy.strikeAfter(bytes, strike);
  return () => cuts;
}

describe("an upsert whose connection breaks again and again", () => {
  test("creates every row once, from a source that can be read once", async () => {
    const cuts = cutEvery(700_000);
    const result = await itembank.upsertDataset({ name: "qa", items: rows(20_000) });
    expect(cuts()).toBeGreaterThanOrEqual(3);
    expect(result).toMatchObject({
      version: 1,
      counts: { received: 20_000, created: 20_000 },
      itemCount: 20_000,
    });
  });

  test("sends only what changed, in offers and supplies", async () => {
    await itembank.upsertDataset({ name: "qa", items: rows(20_000) });
    const cuts = cutEvery(500_000);
    let resumptions = 0;
    const result = await itembank.upsertDataset({
      name: "qa",
      items: rows(20_000, (number) => (number % 5 === 0 ? 1 : 0)),
      mode: "mirror",
      onProgress: (progress) => {
        resumptions = progress.resumptions;
      },
    });
    expect(cuts()).toBeGreaterThanOrEqual(2);
    expect(resumptions).toBeGreaterThanOrEqual(2);
    expect(result).toMatchObject({ version: 2, counts: { updated: 4_000, unchanged: 16_000, deleted: 0 } });
    const direct = createItembankClient({ url: service.url });
    const again = await direct.upsertDataset({
      name: "again",
      items: rows(20_000, (number) => (number % 5 === 0 ? 1 : 0)),
    });
    direct.close();
    expect(again.digest).toBe(result.digest);
  });

  test("sends smaller frames where large ones never arrive", async () => {
    await itembank.upsertDataset({ name: "qa", items: rows(20_000) });
    // The offers of all rows take more than 800 kB, and a full frame more than passes between two cuts.
    const cuts = cutEvery(150_000);
    const again = await itembank.upsertDataset({ name: "qa", items: rows(20_000) });
    expect(cuts()).toBeGreaterThanOrEqual(5);
    expect(again).toMatchObject({ version: 1, noOp: true, counts: { unchanged: 20_000 } });
  });

  test("survives a service that is restarted", async () => {
    let restarting: Promise<void> | undefined;
    const restart = async () => {
      await service.close();
      service = await startTestService({ database });
      proxy.target = new URL(service.url);
    };
    proxy.strikeAfter(1_000_000, () => {
      restarting = restart();
    });
    const result = await itembank.upsertDataset({ name: "qa", items: rows(20_000) });
    expect(restarting).toBeDefined();
    await restarting;
    expect(result).toMatchObject({ version: 1, counts: { created: 20_000 } });
  });

  test("gets its receipt if the answer to the commit is lost", async () => {
    const requestId = crypto.randomUUID();
    const first = await itembank.upsertDataset({ name: "qa", items: rows(10), requestId });
    expect(await itembank.upsertDataset({ name: "qa", items: rows(10), requestId })).toMatchObject({
      version: first.version,
      counts: first.counts,
    });
  });
});

describe("an upsert that cannot continue", () => {
  test("gives up after a number of attempts without progress", async () => {
    const stubborn = createItembankClient({
      url: proxy.url,
      retry: { initialDelayMs: 1, resumeAttempts: 3, callAttempts: 1 },
    });
    let stopping: Promise<void> | undefined;
    const source = async function* () {
      yield* rows(2_000);
      stopping = service.close();
      await stopping;
    };
    await expect(stubborn.upsertDataset({ name: "qa", items: source() })).rejects.toMatchObject({
      name: "ItembankError",
      retryable: true,
    });
    await stopping;
    expect(stopping).toBeDefined();
    stubborn.close();
  });

  test("ends with the reason of its signal, and leaves nothing open", async () => {
    const abort = new AbortController();
    const endless = async function* () {
      yield* rows(5_000);
      await new Promise(() => undefined);
    };
    const reason = new Error("enough");
    await expect(
      itembank.upsertDataset({
        name: "qa",
        items: endless(),
        signal: abort.signal,
        onProgress: ({ rowsTaken }) => {
          if (rowsTaken > 0) abort.abort(reason);
        },
      }),
    ).rejects.toBe(reason);
    const { rows: open } = await database.pool.query("select state from changesets where state = 'open'");
    expect(open).toEqual([]);
  });

  test("throws the error of its source", async () => {
    const fault = new Error("the file is gone");
    const source = async function* () {
      yield* rows(3_000);
      throw fault;
    };
    await expect(itembank.upsertDataset({ name: "qa", items: source() })).rejects.toBe(fault);
    await expect(
      itembank.datasets.getDataset({ dataset: { by: { case: "name", value: "qa" } } }),
    ).rejects.toMatchObject({
      reason: "DATASET_NOT_FOUND",
    });
  });

  test("names the invalid row, whichever side finds it", async () => {
    const source = async function* () {
      yield* rows(1_500);
      yield { itemId: "bad", input: { number: Number.NaN, text: "" } };
    };
    await expect(itembank.upsertDataset({ name: "qa", items: source() })).rejects.toMatchObject({
      reason: "INVALID_JSON",
      facts: { index: "1500", item_id: "bad", path: "$.input.number" },
    });
    const twice = async function* () {
      yield* rows(1_500);
      yield { itemId: "k3", input: { number: 3, text: "again" } };
    };
    await expect(itembank.upsertDataset({ name: "qa", items: twice() })).rejects.toMatchObject({
      reason: "DUPLICATE_ITEM_ID",
      facts: { item_id: "k3", first_index: "3", second_index: "1500" },
    });
  });
});
