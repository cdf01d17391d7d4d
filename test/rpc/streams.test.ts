import { describe, expect, test } from "vitest";
import { untilStopped } from "../../src/rpc/streams.ts";

const never = new AbortController().signal;
const shuttingDown = expect.objectContaining({ reason: "SHUTTING_DOWN" });

async function* numbers(count: number) {
  for (let number = 0; number < count; number++) yield number;
}

/** An input that never arrives, and ignores being closed. */
const silence: AsyncIterable<number> = {
  [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
};

async function read<T>(input: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of input) all.push(one);
  return all;
}

describe("reading until the service stops", () => {
  test("yields all of the input until it does", async () => {
    expect(await read(untilStopped(numbers(1_000), never, never))).toHaveLength(1_000);
  });

  test("passes the error of the input on", async () => {
    async function* broken() {
      yield 1;
      throw new Error("broken");
    }
    await expect(read(untilStopped(broken(), never, never))).rejects.toThrow("broken");
  });

  test("ends a pending read with SHUTTING_DOWN", async () => {
    const stopping = new AbortController();
    const reading = read(untilStopped(silence, stopping.signal, never));
    stopping.abort();
    await expect(reading).rejects.toThrow(shuttingDown);
  });

  test("refuses the first read if the service stops already", async () => {
    await expect(read(untilStopped(numbers(1), AbortSignal.abort(), never))).rejects.toThrow(shuttingDown);
  });

  test("ends with the reason of the call if that is over first", async () => {
    const call = new AbortController();
    const reading = read(untilStopped(silence, never, call.signal));
    call.abort(new Error("deadline"));
    await expect(reading).rejects.toThrow("deadline");
  });

  test("does not take the end of a cancelled call for the end of its input", async () => {
    const call = new AbortController();
    async function* endsOnAbort() {
      yield 1;
      call.abort(new Error("cancelled"));
    }
    await expect(read(untilStopped(endsOnAbort(), never, call.signal))).rejects.toThrow("cancelled");
  });

  test("closes the input that is no longer read", async () => {
    let returned = 0;
    async function* watched() {
      try {
        yield 1;
        yield 2;
      } finally {
        returned++;
      }
    }
    for await (const _ of untilStopped(watched(), never, never)) break;
    expect(returned).toBe(1);
    const stopping = new AbortController();
    const reading = untilStopped(watched(), stopping.signal, never)[Symbol.asyncIterator]();
    await reading.next();
    stopping.abort();
    await expect(reading.next()).rejects.toThrow(shuttingDown);
    await expect.poll(() => returned).toBe(2);
  });
});
