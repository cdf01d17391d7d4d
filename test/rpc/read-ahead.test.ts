import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { ReadAhead, type ReadAheadBounds } from "../../src/rpc/read-ahead.ts";

/** A stream of numbers that records how many were read, and whether it was closed. */
function stream(count = 1_000) {
  const seen = { read: 0, givenUp: false };
  async function* numbers() {
    try {
      while (seen.read < count) yield ++seen.read;
    } finally {
      seen.givenUp = true;
    }
  }
  return { seen, numbers: numbers() };
}

/** Gives the reader enough turns to read far beyond any bound. */
async function manyTurns(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await setImmediate();
}

const unbounded: ReadAheadBounds = {
  items: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
};

describe("reading ahead", () => {
  test("stops at a number of items until they are taken", async () => {
    const { seen, numbers } = stream();
    await using ahead = new ReadAhead(numbers, () => 1, { ...unbounded, items: 3 });
    await manyTurns();
    expect(seen.read).toBe(3);
    expect(await ahead.take()).toEqual([1, 2, 3]);
    await manyTurns();
    expect(seen.read).toBe(6);
  });

  test("stops at a number of bytes, which the last item may exceed", async () => {
    const { seen, numbers } = stream();
    await using ahead = new ReadAhead(numbers, (number) => number * 10, { ...unbounded, bytes: 50 });
    await manyTurns();
    expect(seen.read).toBe(3);
    expect(await ahead.take()).toEqual([1, 2, 3]);
    await manyTurns();
    expect(seen.read).toBe(5);
    expect(await ahead.take()).toEqual([4, 5]);
  });

  test("yields after each item", async () => {
    const { seen, numbers } = stream();
    await using _ = new ReadAhead(numbers, () => 1, unbounded);
    for (let turn = 1; turn <= 20; turn++) {
      await setImmediate();
      expect(seen.read).toBeLessThanOrEqual(turn + 1);
    }
  });

  test("waits for an item, and returns none at the end", async () => {
    const { numbers } = stream(2);
    await using ahead = new ReadAhead(numbers, () => 1, unbounded);
    expect(ahead.isIdle).toBe(true);
    const taken: number[] = [];
    for (let part = await ahead.take(); part.length > 0; part = await ahead.take()) taken.push(...part);
    expect(taken).toEqual([1, 2]);
    expect(await ahead.take()).toEqual([]);
  });

  test("throws an error of the stream once the items before it are taken", async () => {
    async function* broken() {
      yield 1;
      throw new Error("broken");
    }
    await using ahead = new ReadAhead(broken(), () => 1, unbounded);
    await manyTurns();
    expect(ahead.isIdle).toBe(false);
    expect(await ahead.take()).toEqual([1]);
    await expect(ahead.take()).rejects.toThrow("broken");
  });

  test("closes the stream when it is disposed of, even while it is full", async () => {
    const { seen, numbers } = stream();
    {
      await using _ = new ReadAhead(numbers, () => 1, { ...unbounded, items: 1 });
      await manyTurns();
      expect(seen).toEqual({ read: 1, givenUp: false });
    }
    await manyTurns();
    expect(seen).toEqual({ read: 1, givenUp: true });
  });
});
