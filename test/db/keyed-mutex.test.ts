import { describe, expect, test } from "vitest";
import { KeyedMutex } from "../../src/db/keyed-mutex.ts";

/** Pieces of work that record their start, and end when the test releases them. */
function works() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => () =>
    new Promise<string>((resolve) => {
      begun.push(name);
      ends.set(name, () => resolve(name));
    });
  return { begun, work, end: (name: string) => ends.get(name)?.() };
}

describe("a keyed mutex", () => {
  test("runs the work of one key sequentially, in order", async () => {
    const mutex = new KeyedMutex();
    const { begun, work, end } = works();
    const all = ["a", "b", "c"].map((name) => mutex.runExclusive("key", work(name)));
    for (const [at, name] of ["a", "b", "c"].entries()) {
      await expect.poll(() => begun).toEqual(["a", "b", "c"].slice(0, at + 1));
      end(name);
      expect(await all[at]).toBe(name);
    }
  });

  test("runs the work of other keys meanwhile", async () => {
    const mutex = new KeyedMutex();
    const { begun, work, end } = works();
    const first = mutex.runExclusive("one", work("a"));
    const other = mutex.runExclusive("other", work("b"));
    await expect.poll(() => begun).toEqual(["a", "b"]);
    end("b");
    expect(await other).toBe("b");
    end("a");
    expect(await first).toBe("a");
  });

  test("continues after failed work, whose caller alone gets the error", async () => {
    const mutex = new KeyedMutex();
    const failing = mutex.runExclusive("key", () => Promise.reject(new Error("broken")));
    const next = mutex.runExclusive("key", async () => "done");
    await expect(failing).rejects.toThrow("broken");
    expect(await next).toBe("done");
  });
});
