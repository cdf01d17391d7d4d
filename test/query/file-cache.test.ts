import { randomUUID } from "node:crypto";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LocalBlob } from "../../src/blobs/blob-store.ts";
import { FileCache } from "../../src/query/file-cache.ts";
import { datasetHandle } from "../support/handles.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "itembank-cache-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const key = (state: string, purgeCount = 0n) => ({
  datasetId: datasetHandle("d"),
  run: "",
  state,
  purgeCount,
});

const signal = () => new AbortController().signal;

/** Loads a copy of this many bytes, which is deleted at its eviction, and counts the loads. */
function loader(bytes: number) {
  const loads: string[] = [];
  const load = async (): Promise<LocalBlob> => {
    const path = join(folder, randomUUID());
    loads.push(path);
    await writeFile(path, Buffer.alloc(bytes));
    return { path, [Symbol.asyncDispose]: () => rm(path, { force: true }) };
  };
  return { load, loads };
}

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

describe("a cache of files", () => {
  test("loads a file once for concurrent callers", async () => {
    await using cache = new FileCache(1000);
    const { load, loads } = loader(10);
    const files = await Promise.all(Array.from({ length: 20 }, () => cache.open(key("a"), load, signal())));
    expect(new Set(files.map(({ path }) => path))).toEqual(new Set(loads));
    expect(loads).toHaveLength(1);
    await cache[Symbol.asyncDispose]();
    expect(await isThere(loads[0] ?? "")).toBe(false);
  });

  test("evicts the least recently used files when there are too many bytes", async () => {
    await using cache = new FileCache(250);
    const opened: Record<string, string> = {};
    const use = async (state: string) => {
      const { load, loads } = loader(100);
      await using file = await cache.open(key(state), load, signal());
      opened[state] = file.path;
      return loads.length === 1;
    };
    expect([await use("a"), await use("b")]).toEqual([true, true]);
    expect(await use("a")).toBe(false);
    expect(await use("c")).toBe(true);
    await expect.poll(() => isThere(opened.b ?? "")).toBe(false);
    expect([await isThere(opened.a ?? ""), await isThere(opened.c ?? "")]).toEqual([true, true]);
    expect(await use("b")).toBe(true);
  });

  test("counts the bytes of files in use, and evicts others for them", async () => {
    await using cache = new FileCache(250);
    await using _ = await cache.open(key("a"), loader(100).load, signal());
    const idle = await cache.open(key("b"), loader(100).load, signal());
    await idle[Symbol.asyncDispose]();
    expect(await isThere(idle.path)).toBe(true);
    await using large = await cache.open(key("c"), loader(100).load, signal());
    await expect.poll(() => isThere(idle.path)).toBe(false);
    expect(await isThere(large.path)).toBe(true);
  });

  test("keeps a file that is in use, whatever its size, and evicts it after that", async () => {
    await using cache = new FileCache(1);
    const { load } = loader(100);
    const file = await cache.open(key("a"), load, signal());
    const other = await cache.open(key("b"), loader(100).load, signal());
    expect(await isThere(file.path)).toBe(true);
    await file[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    await expect.poll(() => isThere(file.path)).toBe(false);
  });

  test("never returns a forgotten file, and lets its users finish", async () => {
    await using cache = new FileCache(1000);
    const first = await cache.open(key("a"), loader(10).load, signal());
    cache.forget(({ purgeCount }) => purgeCount === 0n);
    expect(await isThere(first.path)).toBe(true);
    const second = await cache.open(key("a"), loader(10).load, signal());
    expect(second.path).not.toBe(first.path);
    await first[Symbol.asyncDispose]();
    await expect.poll(() => isThere(first.path)).toBe(false);
    expect(await isThere(second.path)).toBe(true);
    await second[Symbol.asyncDispose]();
  });

  test("loads a file again that has been removed by others", async () => {
    await using cache = new FileCache(1000);
    const { load, loads } = loader(10);
    await (await cache.open(key("a"), load, signal()))[Symbol.asyncDispose]();
    await rm(loads[0] ?? "");
    await using file = await cache.open(key("a"), load, signal());
    expect(await isThere(file.path)).toBe(true);
    expect(loads).toHaveLength(2);
  });

  test("fails all waiting callers when a file could not be loaded, and tries again for the next", async () => {
    await using cache = new FileCache(1000);
    const failing = () => Promise.reject(new Error("away"));
    const waiting = Array.from({ length: 3 }, () => cache.open(key("a"), failing, signal()));
    for (const one of waiting) await expect(one).rejects.toThrow("away");
    await using file = await cache.open(key("a"), loader(10).load, signal());
    expect(await isThere(file.path)).toBe(true);
  });

  test("lets callers stop waiting", async () => {
    await using cache = new FileCache(1000);
    const leave = new AbortController();
    let finish: ((blob: LocalBlob) => void) | undefined;
    const slow = () =>
      new Promise<LocalBlob>((resolve) => {
        finish = resolve;
      });
    const left = cache.open(key("a"), slow, leave.signal);
    const stayed = cache.open(key("a"), slow, signal());
    leave.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    finish?.(await loader(10).load());
    await (await stayed)[Symbol.asyncDispose]();
  });
});
