import { hash } from "node:crypto";

/**
 * Carries are propagated after this many additions and subtractions. Each changes a limb by less than 2^32, so limbs
 * stay far below 2^53, up to which numbers are exact.
 */
const propagateAfter = 2 ** 20;

/** The digest of no items at all. */
export const emptyDigest: Uint8Array = new Uint8Array(32);

/** The buffer for the hashed bytes of an item. Grows to fit the longest. */
let scratch = Buffer.allocUnsafe(1024);

/**
 * Computes the digest `sha256-sum-v1` of a version: the sum modulo 2^256, over its items, of
 *
 *     SHA-256(item_id, 0x00, content_hash, and for each split 0x00, split)
 *
 * Items may be added in any order and subtracted again, so the digest of a version follows from that of the previous
 * version and the items that changed.
 */
export class DigestSum {
  /** Eight digits to the base 2^32, the most significant first, with carries that are not propagated yet. */
  readonly #limbs = new Float64Array(8);
  #pending = 0;

  /** Starts at zero, or at a sum of 32 big-endian bytes. */
  constructor(sum?: Uint8Array) {
    if (sum !== undefined) this.addSum(sum);
  }

  /** Adds an item. Its splits must be in ascending byte order, each once, as `normalizeSplits` returns them. */
  add(itemId: string, contentHash: Uint8Array, splits: readonly string[]): void {
    this.#addTerm(itemTerm(itemId, contentHash, splits), 1);
  }

  /** Removes an item again. The same holds for its splits. */
  subtract(itemId: string, contentHash: Uint8Array, splits: readonly string[]): void {
    this.#addTerm(itemTerm(itemId, contentHash, splits), -1);
  }

  /** Adds another sum, as 32 big-endian bytes. */
  addSum(sum: Uint8Array): void {
    this.#addTerm(Buffer.from(sum.buffer, sum.byteOffset, sum.byteLength).toString("latin1"), 1);
  }

  /** Returns the sum so far, as 32 big-endian bytes. More can be added afterwards. */
  bytes(): Buffer {
    this.#propagateCarries();
    const bytes = Buffer.allocUnsafe(32);
    this.#limbs.forEach((limb, i) => {
      bytes.writeUInt32BE(limb, 4 * i);
    });
    return bytes;
  }

  #addTerm(term: string, sign: 1 | -1): void {
    const limbs = this.#limbs;
    for (let i = 0; i < 8; i++) {
      const limb =
        ((term.charCodeAt(4 * i) << 24) |
          (term.charCodeAt(4 * i + 1) << 16) |
          (term.charCodeAt(4 * i + 2) << 8) |
          term.charCodeAt(4 * i + 3)) >>>
        0;
      limbs[i] = (limbs[i] as number) + sign * limb;
    }
    if (++this.#pending === propagateAfter) this.#propagateCarries();
  }

  #propagateCarries(): void {
    const limbs = this.#limbs;
    let carry = 0;
    for (let i = 7; i >= 0; i--) {
      const limb = (limbs[i] as number) + carry;
      carry = Math.floor(limb / 2 ** 32);
      limbs[i] = limb - carry * 2 ** 32;
    }
    this.#pending = 0;
  }
}

/** Returns the SHA-256 of an item, one byte per character: a buffer would take twice as long to make. */
function itemTerm(itemId: string, contentHash: Uint8Array, splits: readonly string[]): string {
  // UTF-8 takes at most three bytes per UTF-16 unit.
  let bound = 3 * itemId.length + 1 + contentHash.length;
  for (const split of splits) bound += 1 + 3 * split.length;
  if (bound > scratch.length) scratch = Buffer.allocUnsafe(2 * bound);
  let length = scratch.write(itemId);
  scratch[length++] = 0;
  scratch.set(contentHash, length);
  length += contentHash.length;
  for (const split of splits) {
    scratch[length++] = 0;
    length += scratch.write(split, length);
  }
  return hash("sha256", scratch.subarray(0, length), "binary");
}
