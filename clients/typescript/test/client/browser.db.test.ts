import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import { createItembankClient, type ReadItem } from "../../src/browser.ts";
import { createItembankClient as createNodeClient } from "../../src/node.ts";

// The entry point for browsers runs wherever there is `fetch`. The tests of the package check that it needs nothing of Node.
let service: TestService;
let itembank: ReturnType<typeof createItembankClient>;

beforeAll(async () => {
  service = await startTestService();
  itembank = createItembankClient({ url: service.url });
});

afterAll(() => service.close());

const rows = (count: number, text = "") =>
  Array.from({ length: count }, (_, n) => ({ itemId: `k${n}`, input: { n, text } }));

describe("in a browser", () => {
  test("an upsert is one call", async () => {
    const result = await itembank.upsertDataset({ name: "small", items: rows(1_000) });
    expect(result).toMatchObject({
      version: 1,
      counts: { created: 1_000 },
      digest: expect.stringMatching(/^[\da-f]{64}$/),
    });
    const plan = await itembank.upsertDataset({ name: "small", items: rows(10), mode: "mirror", plan: true });
    expect(plan.counts).toMatchObject({ deleted: 990 });
    expect(await plan.apply()).toMatchObject({ version: 2, itemCount: 10 });
    const node = createNodeClient({ url: service.url });
    expect(await node.upsertDataset({ name: "small again", items: rows(10) })).toMatchObject({
      digest: (await itembank.upsertDataset({ name: "small", items: rows(10) })).digest,
    });
    node.close();
  });

  test.each([
    ["rows", rows(1_001), "max_batch_size"],
    ["bytes", rows(4, "x".repeat(800_000)), "max_batch_bytes"],
  ])("an upsert of too many %s is refused before it is sent", async (_, items, limit) => {
    await expect(itembank.upsertDataset({ name: "large", items })).rejects.toMatchObject({
      reason: "LIMIT_EXCEEDED",
      facts: { limit },
      message: expect.stringContaining("cannot stream"),
    });
  });

  test("experiments run, and are resumed", async () => {
    await itembank.upsertDataset({ name: "tried", items: rows(50) });
    const abort = new AbortController();
    const task = ({ input }: ReadItem<{ n: number }>) => {
      if (input.n === 30) abort.abort(new Error("closed"));
      return input.n;
    };
    const stopped = await itembank
      .runExperiment({ dataset: "tried", task, concurrency: 3, signal: abort.signal })
      .catch((error: unknown) => error);
    expect(stopped).toMatchObject({ name: "ExperimentInterruptedError" });
    const { summary } = await itembank.runExperiment({
      runId: (stopped as { runId: string }).runId,
      task: () => "again",
      evaluators: { length: ({ output }) => output.length },
    });
    expect(summary).toMatchObject({ state: "COMPLETED", succeeded: 50 });
    expect(summary.scores[0]?.n).toBeLessThan(50);
  });

  test("streams are read, and errors have their reasons", async () => {
    const read = await Array.fromAsync(itembank.streamItems({ dataset: "tried" }));
    expect(read.length).toBe(50);
    await expect(itembank.streamItems({ dataset: "nowhere" }).next()).rejects.toMatchObject({
      name: "ItembankError",
      reason: "DATASET_NOT_FOUND",
    });
    await expect(itembank.datasets.createDataset({ dataset: { name: "" } })).rejects.toMatchObject({
      reason: "INVALID_FIELD",
      violations: [{ field: "dataset.name", description: expect.any(String) }],
    });
  });

  test("an unreachable server is distinguished from one that refuses", async () => {
    const nobody = createItembankClient({
      url: "http://127.0.0.1:1",
      retry: { callAttempts: 2, initialDelayMs: 1 },
    });
    await expect(nobody.limits()).rejects.toMatchObject({
      name: "ItembankError",
      reason: undefined,
      retryable: true,
    });
  });
});
