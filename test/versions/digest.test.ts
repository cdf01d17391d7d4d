import { createHash, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DigestSum } from "../../src/versions/digest.ts";
import { vectors } from "../vectors/content-hash.ts";

type Item = readonly [itemId: string, contentHash: Uint8Array, splits: readonly string[]];

const modulus = 2n ** 256n;

/** The definition of the digest, in big integers. */
function reference(items: readonly Item[]): string {
  let sum = 0n;
  for (const [itemId, contentHash, splits] of items) {
    const term = createHash("sha256").update(itemId).update("\0").update(contentHash);
    for (const split of splits) term.update("\0").update(split);
    sum += BigInt(`0x${term.digest("hex")}`);
  }
  return (sum % modulus).toString(16).padStart(64, "0");
}

function digestOf(items: readonly Item[]): string {
  const sum = new DigestSum();
  for (const item of items) sum.add(...item);
  return sum.bytes().toString("hex");
}

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const text = fc.string({ unit: "binary", minLength: 1, maxLength: 80 });
const item: fc.Arbitrary<Item> = fc.tuple(text, bytes32, fc.array(text, { maxLength: 32 }));

const one: Item = ["one", Buffer.alloc(32, 1), []];
const other: Item = ["other", Buffer.alloc(32, 2), ["test", "train"]];

describe("DigestSum", () => {
  test.each(vectors.digest)("returns the digest of the vector: $name", ({ items, digest }) => {
    const rows = items.map((row): Item => [row.item_id, Buffer.from(row.content_hash, "hex"), row.splits]);
    expect(digestOf(rows)).toBe(digest);
  });

  test("is the sum of the hashes of all items", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 30 }), (items) => {
        expect(digestOf(items)).toBe(reference(items));
      }),
    );
  });

  test("subtracts what was added, in any order", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), fc.array(item, { maxLength: 20 }), (kept, removed) => {
        const sum = new DigestSum();
        for (const gone of removed) sum.subtract(...gone);
        for (const stays of kept) sum.add(...stays);
        for (const gone of removed.toReversed()) sum.add(...gone);
        expect(sum.bytes().toString("hex")).toBe(reference(kept));
      }),
    );
  });

  test("continues from an earlier sum", () => {
    const before = new DigestSum();
    before.add(...one);
    const after = new DigestSum(before.bytes());
    after.add(...other);
    expect(after.bytes().toString("hex")).toBe(digestOf([one, other]));
  });

  test("adds sums that wrap around", () => {
    fc.assert(
      fc.property(fc.array(bytes32, { maxLength: 20 }), (sums) => {
        const digest = new DigestSum();
        let expected = 0n;
        for (const sum of sums) {
          digest.addSum(sum);
          expected += BigInt(`0x${Buffer.from(sum).toString("hex")}`);
        }
        expect(BigInt(`0x${digest.bytes().toString("hex")}`)).toBe(expected % modulus);
      }),
    );
  });

  test("is all zeros without items, and wraps around 2^256 below zero", () => {
    expect(new DigestSum().bytes()).toEqual(Buffer.alloc(32));
    const sum = new DigestSum();
    sum.subtract(...one);
    expect(BigInt(`0x${sum.bytes().toString("hex")}`)).toBe(modulus - BigInt(`0x${digestOf([one])}`));
    sum.add(...one);
    expect(sum.bytes()).toEqual(Buffer.alloc(32));
  });

  test("may be read at any time", () => {
    const sum = new DigestSum();
    sum.add(...one);
    const first = sum.bytes();
    const copy = Buffer.from(first);
    expect(sum.bytes()).toEqual(copy);
    sum.add(...other);
    expect(sum.bytes().toString("hex")).toBe(digestOf([one, other]));
    expect(first).toEqual(copy);
  });

  test("stays exact over three million sums", () => {
    const largest = Buffer.alloc(32, 0xff);
    const sum = new DigestSum();
    for (let i = 0; i < 3_000_000; i++) sum.addSum(largest);
    expect(BigInt(`0x${sum.bytes().toString("hex")}`)).toBe(modulus - 3_000_000n);
  });

  test("distinguishes the parts of an item", () => {
    const hash = randomBytes(32);
    const items: Item[] = [
      ["ab", hash, []],
      ["a", hash, ["b"]],
      ["a", hash, ["b", "c"]],
      ["a", hash, ["bc"]],
      ["a", hash, []],
      ["b", hash, []],
    ];
    expect(new Set(items.map((row) => digestOf([row]))).size).toBe(items.length);
  });

  test("hashes items that are longer than the previous ones", () => {
    const long: Item = [
      "i".repeat(255),
      Buffer.alloc(32, 3),
      Array.from({ length: 32 }, (_, n) => `${n}`.repeat(64)),
    ];
    expect(digestOf([one, long, one])).toBe(reference([one, long, one]));
  });
});
