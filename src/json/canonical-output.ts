import { comma, isPlain } from "./json-bytes.ts";

/**
 * Pieces of at most this many bytes are copied byte by byte, longer ones by the engine, which takes some 40 ns to
 * start. A much lower limit slows down texts with many spaces, a much higher one long members.
 */
const shortPiece = 32;

/** UTF-8 assembled from pieces. Grows as needed, and is meant to be reused. */
export class CanonicalOutput {
  #bytes = Buffer.allocUnsafe(16 * 1024);
  #length = 0;

  /** The length in bytes. */
  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Returns everything appended so far. Valid until the next `clear`. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Appends a part of other bytes. */
  append(source: Buffer, from: number, to: number): void {
    this.#reserve(to - from);
    const bytes = this.#bytes;
    let length = this.#length;
    if (to - from > shortPiece) length += source.copy(bytes, length, from, to);
    else for (let at = from; at < to; at++) bytes[length++] = source[at] as number;
    this.#length = length;
  }

  /** Appends a text of ASCII characters. */
  appendAscii(text: string): void {
    this.#reserve(text.length);
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }

  /** Appends a character, given by its code point, in its canonical string form. */
  appendCharacter(code: number): void {
    if (code < 0x80 && !isPlain(code)) {
      // JSON.stringify escapes the same characters in the same way as RFC 8785, section 3.2.2.2.
      this.appendAscii(JSON.stringify(String.fromCharCode(code)).slice(1, -1));
      return;
    }
    this.#reserve(4);
    const bytes = this.#bytes;
    let length = this.#length;
    if (code < 0x80) bytes[length++] = code;
    else {
      if (code < 0x800) bytes[length++] = 0xc0 | (code >> 6);
      else {
        if (code < 0x10000) bytes[length++] = 0xe0 | (code >> 12);
        else {
          bytes[length++] = 0xf0 | (code >> 18);
          bytes[length++] = 0x80 | ((code >> 12) & 0x3f);
        }
        bytes[length++] = 0x80 | ((code >> 6) & 0x3f);
      }
      bytes[length++] = 0x80 | (code & 0x3f);
    }
    this.#length = length;
  }

  /**
   * Reorders the pieces at the end of the output, which commas separate. `startOf` returns the start of a piece;
   * `order` holds the numbers of all pieces from `first` to `last`.
   */
  reorder(order: readonly number[], startOf: (piece: number) => number, first: number, last: number): void {
    const start = startOf(first);
    const end = this.#length;
    // The pieces are copied to the space after the end first.
    const shift = end - start;
    this.#reserve(shift);
    const bytes = this.#bytes;
    bytes.copyWithin(end, start, end);
    let at = start;
    for (const piece of order) {
      if (at > start) bytes[at++] = comma;
      let from = shift + startOf(piece);
      const to = shift + (piece === last ? end : startOf(piece + 1) - 1);
      if (to - from > shortPiece) {
        bytes.copyWithin(at, from, to);
        at += to - from;
      } else while (from < to) bytes[at++] = bytes[from++] as number;
    }
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const bytes = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }
}
