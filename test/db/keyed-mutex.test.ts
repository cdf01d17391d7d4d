import { describe, expect, test } from "vitest";
import { KeyedMutex } from "../../src/db/keyed-mutex.ts";

/** Pieces of work that note that they begin, and end when they are told. */
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
  test("lets the work of one key run one after the other, in the order in which it was given", async () => {
    const mutex = new KeyedMutex();
    const { begun, work, end } = works();
    const all = ["a", "b", "c"].map((name) => mutex.runExclusive("key", work(name)));
    for (const [at, name] of ["a", "b", "c"].entries()) {
      await expect.poll(() => begun).toEqual(["a", "b", "c"].slice(0, at + 1));
      end(name);
      expect(await all[at]).toBe(name);
    }
  });

  test("lets the work of other keys run meanwhile", async () => {
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

  test("goes on after work that failed, whose caller alone is told", async () => {
    const mutex = new KeyedMutex();
    const failing = mutex.runExclusive("key", () => Promise.reject(new Error("broken")));
    const next = mutex.runExclusive("key", async () => "done");
    await expect(failing).rejects.toThrow("broken");
    expect(await next).toBe("done");
  });
});
