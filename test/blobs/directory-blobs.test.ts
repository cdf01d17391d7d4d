import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StorageError } from "../../src/blobs/blob-store.ts";
import { newDirectoryBlobs } from "../../src/blobs/directory-blobs.ts";
import { openScratch } from "../../src/blobs/scratch.ts";
import { describeBlobs } from "./blob-suite.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "itembank-blobs-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describeBlobs("blobs in a directory", () => newDirectoryBlobs(join(folder, "blobs")));

describe("a directory of blobs", () => {
  // Objects of S3 have no folders that could appear and disappear.
  test("puts and deletes under one folder at once, 100 times over", async () => {
    const blobs = newDirectoryBlobs(join(folder, "busy"));
    for (let round = 0; round < 100; round++) {
      await blobs.put("busy/folder/one", [Buffer.from("1")]);
      await Promise.all([blobs.delete("busy/folder/one"), blobs.put("busy/folder/two", [Buffer.from("2")])]);
      const left = await Array.fromAsync(blobs.list("busy"));
      expect(left.map(({ key }) => key)).toEqual(["busy/folder/two"]);
      await blobs.delete("busy/folder/two");
    }
  });

  test("keeps no folder without a blob in it, and no unfinished file", async () => {
    const blobs = newDirectoryBlobs(join(folder, "tidy"));
    await blobs.put("a/b/c", [Buffer.from("1")]);
    await blobs.delete("a/b/c");
    await expect(blobs.put("a/b/d", failing())).rejects.toThrow();
    expect(await readdir(join(folder, "tidy"), { recursive: true })).toEqual([".partial"]);
  });

  test("creates nothing before it is used", async () => {
    await newDirectoryBlobs(join(folder, "unused", "blobs")).check();
    expect(await readdir(folder)).not.toContain("unused");
  });

  test("removes files that a killed process left unfinished a day ago, and no younger ones", async () => {
    const partial = join(folder, "old", ".partial");
    await mkdir(partial, { recursive: true });
    await writeFile(join(partial, "young"), "");
    await writeFile(join(partial, "old"), "");
    const yesterday = new Date(Date.now() - 25 * 3_600_000);
    await utimes(join(partial, "old"), yesterday, yesterday);
    await newDirectoryBlobs(join(folder, "old")).check();
    expect(await readdir(partial)).toEqual(["young"]);
  });

  test("reports why a directory cannot be used", async () => {
    await writeFile(join(folder, "file"), "");
    const blobs = newDirectoryBlobs(join(folder, "file"));
    await expect(blobs.check()).rejects.toThrow(StorageError);
    await expect(newDirectoryBlobs(join(folder, "file", "deeper")).check()).rejects.toThrow(StorageError);
    await expect(blobs.put("a", [])).rejects.toThrow(/cannot write in .*file: /);
  });
});

describe("a scratch place", () => {
  test("removes files and folders when they are disposed of, and all of them at the end", async () => {
    const scratch = await openScratch(join(folder, "scratch"));
    {
      await using file = await scratch.newFile();
      await writeFile(file.path, "");
      await using spill = await scratch.newFolder();
      await writeFile(join(spill.path, "part"), "");
      expect(await readdir(scratch.path)).toHaveLength(2);
    }
    expect(await readdir(scratch.path)).toEqual([]);
    await scratch[Symbol.asyncDispose]();
    expect(await readdir(join(folder, "scratch"))).toEqual([]);
  });

  test("removes the files that a killed process left a day ago", async () => {
    const parent = join(folder, "scratch-old");
    await mkdir(join(parent, "old"), { recursive: true });
    await writeFile(join(parent, "old", "file"), "");
    const yesterday = new Date(Date.now() - 25 * 3_600_000);
    await utimes(join(parent, "old"), yesterday, yesterday);
    await mkdir(join(parent, "young"));
    await openScratch(parent);
    expect(await readdir(parent)).toEqual(["young"]);
  });
});

// biome-ignore lint/correctness/useYield: a source that fails before its first piece
function* failing(): Generator<Buffer> {
  throw new Error("the source broke");
}
