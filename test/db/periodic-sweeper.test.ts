import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { PeriodicSweeper, type Sweeper } from "../../src/db/periodic-sweeper.ts";
import type { Logger } from "../../src/log.ts";
import { newLog } from "../../src/log.ts";

afterEach(() => vi.useRealTimers());

/** The loop of a sweeper, and the signal that the service fires when it stops. */
function newLoop(sweep: Sweeper["sweep"], { log = newLog("silent"), intervalMilliseconds = 60_000 } = {}) {
  const stopping = new AbortController();
  const sweeper = new PeriodicSweeper(
    { name: "things", intervalMilliseconds, sweep },
    { log, stopping: stopping.signal },
  );
  return { sweeper, stop: () => stopping.abort() };
}

/** A sweep that lasts until it is aborted. */
function endlessSweep() {
  const signals: AbortSignal[] = [];
  let end: (() => void) | undefined;
  const sweep = vi.fn((signal: AbortSignal) => {
    signals.push(signal);
    return new Promise<number>((resolve) => {
      end = () => resolve(0);
    });
  });
  return { sweep, signals, end: () => end?.() };
}

/** A log that records its lines. */
function recordingLog() {
  const lines: unknown[] = [];
  const note = (...line: unknown[]) => lines.push(line);
  return { lines, log: Object.assign(newLog("silent"), { info: note, warn: note }) as Logger };
}

describe("a sweeper", () => {
  test("sweeps at once, then after each interval, until the service stops", async () => {
    vi.useFakeTimers();
    const sweep = vi.fn(async () => 0);
    const { sweeper, stop } = newLoop(sweep, { intervalMilliseconds: 1_000 });
    expect(sweep).toHaveBeenCalledTimes(0);
    sweeper.sweepSoon();
    expect(sweep).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(999);
    expect(sweep).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(2_001);
    expect(sweep).toHaveBeenCalledTimes(4);
    stop();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sweep).toHaveBeenCalledTimes(4);
  });

  test("does not wait for the interval when asked to sweep soon", async () => {
    const sweep = vi.fn(async () => 0);
    const { sweeper } = newLoop(sweep);
    sweeper.sweepSoon();
    await sleep(0);
    sweeper.sweepSoon();
    await sleep(0);
    expect(sweep).toHaveBeenCalledTimes(2);
    await sweeper[Symbol.asyncDispose]();
  });

  test("sweeps once more after a sweep during which it was asked a hundred times, and never twice at a time", async () => {
    const { sweep, end } = endlessSweep();
    const { sweeper, stop } = newLoop(sweep);
    for (let n = 0; n < 100; n++) sweeper.sweepSoon();
    expect(sweep).toHaveBeenCalledTimes(1);
    end();
    await sleep(0);
    expect(sweep).toHaveBeenCalledTimes(2);
    end();
    await sleep(0);
    expect(sweep).toHaveBeenCalledTimes(2);
    stop();
  });

  test("aborts a sweep when the service stops, and its disposal waits for it", async () => {
    const { sweep, signals, end } = endlessSweep();
    const { sweeper, stop } = newLoop(sweep);
    sweeper.sweepSoon();
    expect(signals[0]?.aborted).toBe(false);
    stop();
    expect(signals[0]?.aborted).toBe(true);
    let isDisposed = false;
    const disposal = sweeper[Symbol.asyncDispose]().then(() => {
      isDisposed = true;
    });
    await sleep(20);
    expect(isDisposed).toBe(false);
    end();
    await disposal;
    expect(sweep).toHaveBeenCalledTimes(1);
  });

  test("ends with its disposal, even while it rests or before it began", async () => {
    const sweep = vi.fn(async () => 0);
    const [resting, unused] = [newLoop(sweep).sweeper, newLoop(sweep).sweeper];
    resting.sweepSoon();
    await sleep(0);
    await Promise.all([resting[Symbol.asyncDispose](), unused[Symbol.asyncDispose]()]);
    unused.sweepSoon();
    resting.sweepSoon();
    await sleep(0);
    expect(sweep).toHaveBeenCalledTimes(1);
  });

  test("logs its work and its failures, and continues", async () => {
    const { lines, log } = recordingLog();
    const fault = new Error("the database is unavailable");
    const sweep = vi.fn<Sweeper["sweep"]>().mockRejectedValueOnce(fault).mockResolvedValueOnce(7);
    const { sweeper } = newLoop(sweep.mockResolvedValue(0), { log });
    for (let n = 0; n < 3; n++) {
      sweeper.sweepSoon();
      await sleep(0);
    }
    expect(lines).toEqual([
      [{ sweeper: "things", err: fault }, "a sweep failed"],
      [{ sweeper: "things", count: 7 }, "swept"],
    ]);
    await sweeper[Symbol.asyncDispose]();
  });
});
