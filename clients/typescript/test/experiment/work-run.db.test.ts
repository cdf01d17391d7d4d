import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CuttingProxy, newCuttingProxy } from "../../../../test/resume/cutting-proxy.ts";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import { createItembankClient as createBrowserClient } from "../../src/browser.ts";
import { createItembankClient, type ItembankClient, type ReadItem, type WorkCounts } from "../../src/node.ts";

let service: TestService;
let proxy: CuttingProxy;
let itembank: ItembankClient;
let broken: ItembankClient;

beforeAll(async () => {
  service = await startTestService({ config: { minLeaseSeconds: 1 } });
  proxy = await newCuttingProxy(new URL(service.url));
  itembank = createItembankClient({ url: service.url });
  broken = createItembankClient({ url: proxy.url, retry: { initialDelayMs: 5 } });
});

afterAll(async () => {
  itembank.close();
  broken.close();
  await proxy.close();
  await service.close();
});

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Makes a run on a new dataset with `count` items. */
async function newRun(name: string, count: number, repetitions = 1): Promise<string> {
  const items = Array.from({ length: count }, (_, n) => ({ itemId: `k${n}`, input: { n } }));
  await itembank.upsertDataset({ name, items });
  const { run } = await itembank.runs.createRun({
    dataset: { by: { case: "name", value: name } },
    run: { repetitions },
  });
  return run?.runId ?? "";
}

type Numbered = ReadItem<{ n: number }>;

describe("workers", () => {
  test("share a run and answer each cell once", async () => {
    const runId = await newRun("shared work", 100, 2);
    const answered: string[] = [];
    const work = (client: ItembankClient) =>
      client.workRun({
        runId,
        concurrency: 4,
        task: async ({ itemId, input }: Numbered, { repetition }) => {
          answered.push(`${itemId} ${repetition}`);
          await pause(1);
          return input.n;
        },
        evaluators: { even: ({ output }) => output % 2 === 0 },
      });
    const [one, other] = await Promise.all([work(itembank), work(itembank)]);
    expect(one.recorded + other.recorded).toBe(200);
    expect(Math.min(one.recorded, other.recorded)).toBeGreaterThan(0);
    expect([new Set(answered).size, answered.length]).toEqual([200, 200]);
    const { run } = await itembank.runs.finishRun({ runId });
    expect(run?.counts).toMatchObject({ succeeded: 200n, missing: 0n });
    expect(one.run.counts?.expected).toBe(200n);
  });

  test("never hold more cells than their concurrency", async () => {
    const runId = await newRun("bounded work", 30);
    let running = 0;
    let most = 0;
    await itembank.workRun({
      runId,
      concurrency: 3,
      task: async () => {
        most = Math.max(most, ++running);
        await pause(2);
        running--;
        return 1;
      },
    });
    expect(most).toBe(3);
  });

  test("keep their cells after a broken connection", async () => {
    const runId = await newRun("broken work", 60);
    const answered: string[] = [];
    const { recorded } = await broken.workRun({
      runId,
      workerId: "w1",
      concurrency: 5,
      task: async ({ itemId }: Numbered) => {
        answered.push(itemId);
        if (answered.length % 15 === 0) proxy.cut();
        await pause(3);
        return 1;
      },
    });
    expect(recorded).toBe(60);
    expect([new Set(answered).size, answered.length]).toEqual([60, 60]);
  });

  test("keep their cells for longer than a lease by sending heartbeats", async () => {
    const runId = await newRun("long work", 1);
    let attempts = 0;
    const { recorded, lost } = await itembank.workRun({
      runId,
      leaseMs: 1_000,
      task: async () => {
        attempts++;
        await pause(2_500);
        return 1;
      },
    });
    expect([attempts, recorded, lost]).toEqual([1, 1, 0]);
  });

  test("that leave release their cells at once", async () => {
    const runId = await newRun("left work", 4);
    const abort = new AbortController();
    const reason = new Error("scaled down");
    const signals: AbortSignal[] = [];
    const leaving = itembank.workRun({
      runId,
      concurrency: 4,
      signal: abort.signal,
      task: (_, { signal }) => {
        signals.push(signal);
        if (signals.length === 4) abort.abort(reason);
        return new Promise(() => undefined);
      },
    });
    await expect(leaving).rejects.toBe(reason);
    expect(signals.every((signal) => signal.aborted)).toBe(true);
    // Otherwise these would wait a minute for the leases to expire.
    expect(await itembank.workRun({ runId, task: () => 1 })).toMatchObject({ recorded: 4 });
  });

  test("are idle while others hold the remaining cells", async () => {
    const runId = await newRun("idle work", 1);
    const begun = Promise.withResolvers<void>();
    const idle = Promise.withResolvers<void>();
    const busy = itembank.workRun({
      runId,
      task: async () => {
        begun.resolve();
        await idle.promise;
        return 1;
      },
    });
    await begun.promise;
    const onProgress = (counts: WorkCounts) => {
      if (counts.idle) idle.resolve();
    };
    const waiting = itembank.workRun({ runId, task: () => 2, onProgress });
    expect((await busy).recorded).toBe(1);
    expect((await waiting).recorded).toBe(0);
  });

  test("repeat failures up to maxAttempts, and no more", async () => {
    const runId = await newRun("failing work", 2);
    let attempts = 0;
    const task = ({ input }: Numbered) => {
      if (input.n === 0) return 1;
      attempts++;
      throw new Error("no");
    };
    await itembank.workRun({ runId, retries: 0, maxAttempts: 3, task });
    expect(attempts).toBe(3);
    const { run } = await itembank.runs.getRun({ runId });
    expect(run?.counts).toMatchObject({ succeeded: 1n, failed: 1n });
  });

  test("cannot work in browsers, or on a run that does not exist", async () => {
    const browser = createBrowserClient({ url: service.url });
    const runId = await newRun("no work", 1);
    await expect(browser.workRun({ runId, task: () => 1 })).rejects.toMatchObject({
      name: "ItembankError",
      code: 12,
    });
    await expect(
      itembank.workRun({ runId: "runs00000000000000000000000000", task: () => 1 }),
    ).rejects.toMatchObject({
      reason: "RUN_NOT_FOUND",
    });
  });

  test("are superseded by another worker of the same name", async () => {
    const runId = await newRun("superseded work", 1);
    const begun = Promise.withResolvers<void>();
    const older = itembank.workRun({
      runId,
      workerId: "same",
      task: () => {
        begun.resolve();
        return new Promise(() => undefined);
      },
    });
    const refused = expect(older).rejects.toMatchObject({
      reason: "STREAM_SUPERSEDED",
      facts: { worker_id: "same" },
    });
    await begun.promise;
    expect((await itembank.workRun({ runId, workerId: "same", task: () => 1 })).recorded).toBe(1);
    await refused;
  });
});
