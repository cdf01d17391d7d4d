import { describe, expect, test } from "vitest";
import { Semaphore, SemaphoreFull } from "../../src/engine/semaphore.ts";

const signal = () => new AbortController().signal;

describe("a semaphore", () => {
  test("serves waiters in order, one for each permit released", async () => {
    const semaphore = new Semaphore(1);
    const giveBack = await semaphore.acquire(signal());
    const served: number[] = [];
    const waiting = [1, 2, 3].map(async (number) => {
      const release = await semaphore.acquire(signal());
      served.push(number);
      return release;
    });
    expect(served).toEqual([]);
    giveBack();
    // Releasing a permit twice has no further effect.
    giveBack();
    const next = await (waiting[0] as Promise<() => void>);
    expect(served).toEqual([1]);
    next();
    (await (waiting[1] as Promise<() => void>))();
    await waiting[2];
    expect(served).toEqual([1, 2, 3]);
  });

  test("refuses callers beyond the bound of the queue", async () => {
    const semaphore = new Semaphore(1, 1);
    const giveBack = await semaphore.acquire(signal());
    const waiting = semaphore.acquire(signal());
    await expect(semaphore.acquire(signal())).rejects.toThrow(SemaphoreFull);
    giveBack();
    (await waiting)();
    await expect(semaphore.acquire(signal())).resolves.toBeTypeOf("function");
  });

  test("lets a waiter leave, and passes the permit to the next", async () => {
    const semaphore = new Semaphore(1);
    const giveBack = await semaphore.acquire(signal());
    const leave = new AbortController();
    const left = semaphore.acquire(leave.signal);
    const stayed = semaphore.acquire(signal());
    leave.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    giveBack();
    await expect(stayed).resolves.toBeTypeOf("function");
    await expect(semaphore.acquire(AbortSignal.abort(new Error("too late")))).rejects.toThrow("too late");
  });
});
