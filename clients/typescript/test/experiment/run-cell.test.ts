import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { ItemSchema } from "../../gen/itembank/v1/item_pb.js";
import { TimeoutError } from "../../src/experiment/attempt.ts";
import { RateGate } from "../../src/experiment/rate-gate.ts";
import { type ResultInit, runCell } from "../../src/experiment/run-cell.ts";
import type { WorkOptions } from "../../src/experiment/task.ts";

const item = create(ItemSchema, { itemId: "q1", inputJson: "2", expectedOutputJson: "4", version: 1n });

const platform = {
  sha256: () => new Uint8Array(),
  byteLength: (text: string) => Buffer.byteLength(text),
  userAgentHeader: "user-agent" as const,
};

function run<Output>(
  options: WorkOptions<number, Output, number>,
  { gate = new RateGate(), signal = new AbortController().signal } = {},
): Promise<ResultInit> {
  const setting = { options, gate, platform, limits: { maxItemBytes: 1000n }, runId: "run" };
  return runCell(setting, { item, repetition: 3 }, signal);
}

const failing = (message: string) => () => {
  throw new Error(message);
};

describe("a cell", () => {
  test("returns the output with its context, usage and times", async () => {
    const result = await run({
      task: ({ input }, { repetition, attempt, runId, report }) => {
        report({ usage: { inputTokens: 10, cost: 0.5 }, traceId: "t1" });
        return { sum: input + 2, repetition, attempt, runId };
      },
    });
    expect(result).toMatchObject({
      itemId: "q1",
      repetition: 3,
      outcome: { case: "outputJson", value: '{"sum":4,"repetition":3,"attempt":1,"runId":"run"}' },
      retryCount: 0,
      traceId: "t1",
      usage: { inputTokens: 10n, cost: 0.5, currencyCode: "" },
      scores: [],
      startTime: { seconds: expect.any(BigInt) },
      latency: { nanos: expect.any(Number) },
    });
  });

  test.each([[null], [""], [false], [0]])("takes %j for an output", async (output) => {
    const result = await run({ task: () => output });
    expect(result.outcome).toEqual({ case: "outputJson", value: JSON.stringify(output) });
  });

  test.each<[string, () => unknown, string, string]>([
    ["undefined", () => undefined, "INVALID_OUTPUT", "$.output: undefined is not JSON"],
    ["NaN within", () => ({ a: [Number.NaN] }), "INVALID_OUTPUT", "$.output.a[0]: NaN is not JSON"],
    [
      "too much",
      () => "x".repeat(999),
      "OUTPUT_TOO_LARGE",
      "the output has 1,001 bytes; the server accepts at most 1,000",
    ],
    ["an error", failing("no idea"), "ERROR", "no idea"],
    ["an error of a class", () => JSON.parse("{"), "SyntaxError", expect.stringContaining("JSON") as string],
    [
      "an error with a code",
      () => Promise.reject(Object.assign(new Error("gone"), { code: "ECONNRESET" })),
      "ECONNRESET",
      "gone",
    ],
    [
      "an error with a cause",
      () => Promise.reject(new Error("a", { cause: new Error("b") })),
      "ERROR",
      "a: b",
    ],
    ["something else", () => Promise.reject({ odd: 1 }), "ERROR", '{"odd":1}'],
  ])("records as an error: %s", async (_, task, code, message) => {
    const result = await run({ task, retries: 0 });
    expect(result.outcome).toMatchObject({ case: "error", value: { code, message } });
    expect(result.scores).toBeUndefined();
  });

  test("refuses an invalid cost", async () => {
    const result = await run({
      retries: 0,
      task: (_, { report }) => report({ usage: { cost: Number.NaN } }),
    });
    expect(result.outcome).toMatchObject({
      value: { code: "RangeError", message: "usage.cost must be a number of 0 or more, not NaN" },
    });
  });

  test("is retried after a failure, with a context of its own", async () => {
    const attempts: number[] = [];
    const result = await run({
      retries: 1,
      task: (_, { attempt, report }) => {
        attempts.push(attempt);
        if (attempt === 1) {
          report({ traceId: "first" });
          throw new Error("once");
        }
        return "yes";
      },
    });
    expect(attempts).toEqual([1, 2]);
    expect(result).toMatchObject({ outcome: { case: "outputJson" }, retryCount: 1, traceId: "" });
  });

  test("is not retried if shouldRetry says no", async () => {
    let attempts = 0;
    const task = () => {
      attempts++;
      throw new Error("bad key");
    };
    expect(await run({ task, shouldRetry: () => false })).toMatchObject({
      outcome: { case: "error" },
      retryCount: 0,
    });
    expect(attempts).toBe(1);
  });

  test("has a fresh timeout for each attempt, even for tasks that ignore their signal", async () => {
    const signals: AbortSignal[] = [];
    const result = await run({
      retries: 1,
      timeoutMs: 30,
      task: (_, { signal, attempt }) => {
        signals.push(signal);
        return attempt === 1 ? new Promise<string>(() => undefined) : "in time";
      },
    });
    expect(result.outcome).toEqual({ case: "outputJson", value: '"in time"' });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(signals[0]?.reason).toBeInstanceOf(TimeoutError);
    const never = await run({ retries: 0, timeoutMs: 10, task: () => new Promise(() => undefined) });
    expect(never.outcome).toMatchObject({ value: { code: "TIMEOUT", message: "no answer within 10 ms" } });
  });

  test("ends with the reason of the signal", async () => {
    const abort = new AbortController();
    const reason = new Error("enough");
    let inner: AbortSignal | undefined;
    const running = run(
      {
        task: (_, { signal }) => {
          inner = signal;
          queueMicrotask(() => abort.abort(reason));
          return new Promise(() => undefined);
        },
      },
      { signal: abort.signal },
    );
    await expect(running).rejects.toBe(reason);
    expect(inner?.reason).toBe(reason);
  });
});

describe("evaluators", () => {
  test("return numbers, booleans, labels, or all of them", async () => {
    const { scores } = await run({
      task: ({ input }) => input * 2,
      evaluators: {
        number: ({ output, expectedOutput }) => output - (expectedOutput ?? 0),
        truth: async ({ output, item: { expectedOutput } }) => output === expectedOutput,
        label: () => "fine",
        all: {
          kind: "llm",
          evaluate: () => ({ value: 0.5, label: "half", explanation: "so so", metadata: { model: "j1" } }),
        },
        none: () => null,
      },
    });
    expect(scores).toMatchObject([
      { name: "number", value: 0, annotatorKind: 2 },
      { name: "truth", value: 1 },
      { name: "label", label: "fine" },
      {
        name: "all",
        value: 0.5,
        label: "half",
        explanation: "so so",
        metadataJson: '{"model":"j1"}',
        annotatorKind: 1,
      },
    ]);
  });

  test.each<[string, () => unknown, string]>([
    ["throws", failing("no judge"), "no judge"],
    ["rejects", () => Promise.reject(new Error("away")), "away"],
    [
      "returns undefined",
      () => undefined,
      "the evaluator returned neither a value nor a label; return null if there is nothing to judge",
    ],
    ["returns NaN", () => Number.NaN, "the evaluator returned NaN, which is not a finite number"],
    [
      "returns an empty judgement",
      () => ({}),
      "the evaluator returned neither a value nor a label; return null if there is nothing to judge",
    ],
    [
      "returns a long label",
      () => "x".repeat(257),
      "the evaluator returned a label that is not a string of 1 to 256 characters",
    ],
    [
      "returns metadata that are not JSON",
      () => ({ value: 1, metadata: { f() {} } }),
      "$.metadata.f: a function is not JSON",
    ],
    [
      "returns metadata that are not an object",
      () => ({ value: 1, metadata: ["j1"] }),
      "$.metadata: must be a JSON object",
    ],
    ["takes too long", () => new Promise(() => undefined), "no answer within 20 ms"],
  ])("leave an error as the score if one %s, and the result a success", async (_, evaluate, error) => {
    const result = await run({
      task: () => 1,
      timeoutMs: 20,
      evaluators: { broken: evaluate as never, whole: () => 1 },
    });
    expect(result.outcome).toMatchObject({ case: "outputJson" });
    expect(result.scores).toMatchObject([
      { name: "broken", error },
      { name: "whole", value: 1 },
    ]);
    expect(result.scores?.[0]).not.toHaveProperty("value");
  });
});

describe("a rate limit", () => {
  const limited = (headers: Record<string, string>) =>
    Object.assign(new Error("slow down"), { status: 429, headers });

  test("is waited out for its retry-after, and does not use up retries", async () => {
    let attempts = 0;
    const begin = performance.now();
    const result = await run({
      retries: 0,
      task: () => {
        if (++attempts <= 2) throw limited({ "retry-after-ms": "40" });
        return "through";
      },
    });
    expect(result).toMatchObject({ outcome: { value: '"through"' }, retryCount: 2 });
    expect(performance.now() - begin).toBeGreaterThanOrEqual(80);
  });

  test("holds all other cells back", async () => {
    const gate = new RateGate();
    let attempts = 0;
    const task = () => {
      if (++attempts > 1) return "through";
      throw limited({ "retry-after": "0.1" });
    };
    const limitedCell = run({ task }, { gate });
    await expect.poll(() => gate.opensAt).toBeGreaterThan(0);
    let started = 0;
    const other = run({ task: () => (started = Date.now()) }, { gate });
    const { opensAt } = gate;
    await Promise.all([limitedCell, other]);
    expect(started).toBeGreaterThanOrEqual(opensAt);
  });

  test("that never ends fails the cell in the end", async () => {
    let attempts = 0;
    const result = await run({
      retries: 0,
      task: () => {
        attempts++;
        throw limited({ "retry-after-ms": "0" });
      },
    });
    expect(result.outcome).toMatchObject({
      case: "error",
      value: { code: "HTTP_429", message: "slow down" },
    });
    expect(attempts).toBe(21);
  });
});
