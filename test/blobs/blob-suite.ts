import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { BlobMissing, type BlobStore } from "../../src/blobs/blob-store.ts";

/** The behaviour of every blob store. `open` returns a store that is empty except for blobs of other tests under other keys. */
export function describeBlobs(name: string, open: () => BlobStore): void {
  describe(name, () => {
    test("says that it can be used", async () => {
      await expect(open().check()).resolves.toBeUndefined();
    });

    test("returns the bytes that were put, as a stream and as a file", async () => {
      const blobs = open();
      const bytes = randomBytes(300_000);
      await blobs.put("same/a.bin", chunks(bytes, 7_000));
      expect(await bytesOf(blobs.read("same/a.bin"))).toEqual(bytes);
      await using file = await blobs.openFile("same/a.bin");
      expect(await readFile(file.path)).toEqual(bytes);
    });

    test("keeps an empty blob", async () => {
      const blobs = open();
      await blobs.put("empty/blob", []);
      expect(await bytesOf(blobs.read("empty/blob"))).toEqual(Buffer.alloc(0));
    });

    test("keeps a blob of many parts, without holding all of them at once", async () => {
      const blobs = open();
      const sent = createHash("sha256");
      const received = createHash("sha256");
      await blobs.put(
        "large/blob",
        (function* () {
          for (let chunk = 0; chunk < 23; chunk++) {
            const bytes = randomBytes(1024 * 1024);
            sent.update(bytes);
            yield bytes;
          }
        })(),
      );
      for await (const chunk of blobs.read("large/blob")) received.update(chunk);
      expect(received.digest("hex")).toBe(sent.digest("hex"));
    });

    test("replaces a blob as a whole", async () => {
      const blobs = open();
      await blobs.put("replaced/blob", [Buffer.from("first, and longer")]);
      await blobs.put("replaced/blob", [Buffer.from("second")]);
      expect(String(await bytesOf(blobs.read("replaced/blob")))).toBe("second");
    });

    test("shows nothing of a blob that is being put, and nothing of one that failed", async () => {
      const blobs = open();
      const keys = async () => (await Array.fromAsync(blobs.list("failing"))).map((entry) => entry.key);
      const put = blobs.put(
        "failing/blob",
        (async function* () {
          yield randomBytes(8 * 1024 * 1024);
          expect(await keys()).toEqual([]);
          throw new Error("the source broke");
        })(),
      );
      await expect(put).rejects.toThrow("the source broke");
      expect(await keys()).toEqual([]);
      await expect(bytesOf(blobs.read("failing/blob"))).rejects.toThrow(BlobMissing);
    });

    test("puts 20 blobs at once, also under one key", async () => {
      const blobs = open();
      const contents = Array.from({ length: 20 }, (_, index) => Buffer.alloc(50_000, index));
      await Promise.all(contents.map((bytes) => blobs.put("raced/blob", [bytes])));
      const found = await bytesOf(blobs.read("raced/blob"));
      expect(contents.some((bytes) => bytes.equals(found))).toBe(true);
    });

    test("says that a blob is missing, for every way of reading it", async () => {
      const blobs = open();
      await expect(bytesOf(blobs.read("nowhere/blob"))).rejects.toThrow(BlobMissing);
      await expect(blobs.openFile("nowhere/blob")).rejects.toThrow(BlobMissing);
    });

    test("deletes a blob, and accepts one that does not exist", async () => {
      const blobs = open();
      await blobs.put("deleted/a/b/blob", [Buffer.from("x")]);
      await blobs.delete("deleted/a/b/blob");
      await blobs.delete("deleted/a/b/blob");
      await expect(bytesOf(blobs.read("deleted/a/b/blob"))).rejects.toThrow(BlobMissing);
    });

    test("lists the blobs under a prefix, with size and time, and nothing else", async () => {
      const blobs = open();
      const before = Date.now() - 60_000;
      await blobs.put("listed/a", [Buffer.from("1")]);
      await blobs.put("listed/b/c", [Buffer.from("22")]);
      await blobs.put("listed-not/a", [Buffer.from("333")]);
      const found = await Array.fromAsync(blobs.list("listed"));
      expect(found.map(({ key, sizeBytes }) => [key, sizeBytes]).sort()).toEqual([
        ["listed/a", 1],
        ["listed/b/c", 2],
      ]);
      for (const { putTime } of found) expect(putTime.getTime()).toBeGreaterThan(before);
      expect(await Array.fromAsync(blobs.list("not-there"))).toEqual([]);
    });

    test.each(["", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", "A", "a b"])(
      "refuses the key %j",
      async (key) => {
        await expect(open().put(key, [])).rejects.toThrow("is not a blob key");
      },
    );

    test("lets a reader stop in the middle of a blob", async () => {
      const blobs = open();
      await blobs.put("left/blob", chunks(randomBytes(3_000_000), 100_000));
      for await (const chunk of blobs.read("left/blob")) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      await blobs.delete("left/blob");
    });
  });
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream));
}

function* chunks(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
