import { comma, isPlain } from "./json-bytes.ts";

/**
 * Pieces of up to so many bytes are copied one by one, longer ones by the engine, which takes some 40 ns to start. Much
 * less slows spaced-out texts down, much more slows long members down.
 */
const shortPiece = 32;

/** UTF-8 that is put together from pieces. Grows as needed, and is meant to be used again and again. */
export class CanonicalOutput {
  #bytes = Buffer.allocUnsafe(16 * 1024);
  #length = 0;

  /** In bytes. */
  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  /** All of it. Valid until the next `clear`. */
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

  /** Appends a character, given as its code point, in the form that it has in a canonical string. */
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
   * Puts the pieces that the output ends with, with a comma between each two, into another order. `startOf` tells where a
   * piece starts; `order` holds the numbers of all pieces from `first` to `last`.
   */
  reorder(order: readonly number[], startOf: (piece: number) => number, first: number, last: number): void {
    const start = startOf(first);
    const end = this.#length;
    // The pieces are taken from a copy behind the end.
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
