import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RateGate, rateLimitOf } from "../../src/experiment/rate-gate.ts";

const signal = new AbortController().signal;

describe("an error is a rate limit", () => {
  test.each<[string, unknown, number | undefined]>([
    ["with the status 429", { status: 429 }, undefined],
    ["with headers as fetch has them", { status: 429, headers: new Headers({ "Retry-After": "3" }) }, 3_000],
    ["with plain headers", { statusCode: 429, headers: { "retry-after": "1.5" } }, 1_500],
    ["with capital headers", { status: 429, headers: { "Retry-After": 2 } }, 2_000],
    [
      "with milliseconds, which are finer",
      { status: 429, headers: { "retry-after-ms": "250", "retry-after": "1" } },
      250,
    ],
    ["in its response", { response: { status: 429, headers: { "retry-after": "7" } } }, 7_000],
    ["in its cause", new Error("wrapped", { cause: { status: 429 } }), undefined],
    ["by its name", Object.assign(new Error(), { name: "RateLimitError" }), undefined],
    ["by its code", { code: "rate_limit_exceeded" }, undefined],
    ["with 503 and a time", { status: 503, headers: { "retry-after": "4" } }, 4_000],
  ])("%s", (_, error, retryAfterMs) => {
    expect(rateLimitOf(error)).toEqual({ retryAfterMs });
  });

  test("with a date to wait for", () => {
    const date = new Date(Date.now() + 5_000).toUTCString();
    const { retryAfterMs = 0 } = rateLimitOf({ status: 429, headers: { "retry-after": date } }) ?? {};
    expect(retryAfterMs).toBeGreaterThan(3_000);
    expect(retryAfterMs).toBeLessThanOrEqual(5_000);
  });

  test.each<[string, unknown]>([
    ["500", { status: 500 }],
    ["503 without a time", { status: 503 }],
    ["undefined", undefined],
    ["a string", "429"],
    [
      "a circular cause",
      (() => {
        const error: { cause?: unknown } = {};
        error.cause = error;
        return error;
      })(),
    ],
  ])("but not %s", (_, error) => {
    expect(rateLimitOf(error)).toBeUndefined();
  });
});

describe("the gate", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  /** Returns when attempts that arrive now are admitted, in milliseconds from now. */
  async function passes(gate: RateGate, count: number): Promise<number[]> {
    const begin = Date.now();
    const all = Array.from({ length: count }, () => gate.pass(signal));
    await vi.runAllTimersAsync();
    return (await Promise.all(all)).map(({ time }) => time - begin);
  }

  test("is open at first", async () => {
    expect(await passes(new RateGate(), 3)).toEqual([0, 0, 0]);
  });

  test("spaces attempts evenly", async () => {
    expect(await passes(new RateGate(60), 4)).toEqual([0, 1_000, 2_000, 3_000]);
  });

  test("pauses all attempts, and admits them spread out after that", async () => {
    const gate = new RateGate();
    gate.pause(await gate.pass(signal), 10_000);
    for (const time of await passes(gate, 20)) {
      expect(time).toBeGreaterThanOrEqual(10_000);
      expect(time).toBeLessThanOrEqual(11_000);
    }
  });

  test("pauses longer each time without a retry-after, and counts attempts that started together once", async () => {
    const gate = new RateGate();
    const pauses: number[] = [];
    for (let round = 0; round < 4; round++) {
      const together = await Promise.all([gate.pass(signal), gate.pass(signal), gate.pass(signal)]);
      const begin = Date.now();
      for (const pass of together) gate.pause(pass, undefined);
      pauses.push(gate.opensAt - begin);
      await vi.advanceTimersByTimeAsync(gate.opensAt - begin + 1);
    }
    for (const [round, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(500 * 2 ** round);
      expect(pause).toBeLessThanOrEqual(1_000 * 2 ** round);
    }
  });

  test("never shortens a pause", async () => {
    const gate = new RateGate();
    const pass = await gate.pass(signal);
    gate.pause(pass, 10_000);
    gate.pause(pass, 1_000);
    expect((await passes(gate, 1))[0]).toBeGreaterThanOrEqual(10_000);
  });

  test("rejects attempts whose signal is aborted", async () => {
    const gate = new RateGate();
    gate.pause(await gate.pass(signal), 10_000);
    const abort = new AbortController();
    const waiting = gate.pass(abort.signal);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});
