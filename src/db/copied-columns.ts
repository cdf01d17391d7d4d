import type { Instant } from "./instant.ts";

/** Size of the header of COPY's binary format: the signature, the flags and the length of the header extension, which is empty. */
export const copyHeaderBytes = 19;

/** In place of a column count, marks the end of the rows. */
export const endOfRows = -1;

/** The offsets, in an array of one dimension, of its element count and of its elements, each preceded by its length. */
const arrayCount = 12;
const arrayHeaderBytes = 20;

/** Microseconds from 1970 to 2000, PostgreSQL's epoch. */
export const postgresEpoch = 946_684_800_000_000n;

/**
 * Locates the columns of rows in the bytes of COPY's binary format (PostgreSQL manual, "COPY", "Binary Format"), row by
 * row, for callers that pass them on undecoded: texts are UTF-8, numbers big-endian, times in microseconds since 2000.
 * Column n of the current row has `lengths[n]` bytes of `buffer` from `starts[n]` on, or is null if that is negative.
 *
 * Written by hand instead of with pg-copy-streams-binary because of its speed: rows of six columns and 400 bytes, 1.2
 * million per second and more against 0.11 to 0.20 million. That one decodes each column, whether it is passed on or
 * not.
 */
export class CopiedColumns {
  readonly buffer: Buffer;
  readonly starts: Int32Array;
  readonly lengths: Int32Array;
  #at = copyHeaderBytes;

  constructor(buffer: Buffer, columns: number) {
    this.buffer = buffer;
    this.starts = new Int32Array(columns);
    this.lengths = new Int32Array(columns);
  }

  /**
   * Advances to the next row; false after the last one.
   *
   * @throws Error if the row has another number of columns
   */
  next(): boolean {
    const { buffer, starts, lengths } = this;
    let at = this.#at;
    const columns = buffer.readInt16BE(at);
    if (columns === endOfRows) return false;
    if (columns !== starts.length)
      throw new Error(`a row has ${columns} columns instead of ${starts.length}`);
    at += 2;
    for (let column = 0; column < columns; column++) {
      const length = buffer.readInt32BE(at);
      at += 4;
      starts[column] = at;
      lengths[column] = length;
      if (length > 0) at += length;
    }
    this.#at = at;
    return true;
  }

  isNull(column: number): boolean {
    return (this.lengths[column] as number) < 0;
  }

  text(column: number): string {
    const start = this.starts[column] as number;
    return this.buffer.toString("utf8", start, start + (this.lengths[column] as number));
  }

  int4(column: number): number {
    return this.buffer.readInt32BE(this.starts[column]);
  }

  /** Reads a float8. */
  float8(column: number): number {
    return this.buffer.readDoubleBE(this.starts[column]);
  }

  /** Reads a bigint, exact up to 2^53. */
  int8(column: number): number {
    const start = this.starts[column] as number;
    return this.buffer.readInt32BE(start) * 2 ** 32 + this.buffer.readUInt32BE(start + 4);
  }

  /** Reads a bigint, always exact. Takes longer than `int8`. */
  bigint(column: number): bigint {
    return this.buffer.readBigInt64BE(this.starts[column]);
  }

  /** Reads a timestamptz. */
  instant(column: number): Instant {
    return this.bigint(column) + postgresEpoch;
  }

  /** Calls `visit` with the position in `buffer` of each element of an array of one dimension without nulls. */
  forEachElement(column: number, visit: (buffer: Buffer, start: number, end: number) => void): void {
    // Without elements there are no dimensions, and nothing follows the header.
    if ((this.lengths[column] as number) < arrayHeaderBytes) return;
    const { buffer } = this;
    const start = this.starts[column] as number;
    const count = buffer.readInt32BE(start + arrayCount);
    let at = start + arrayHeaderBytes;
    for (let n = 0; n < count; n++) {
      const from = at + 4;
      at = from + buffer.readInt32BE(at);
      visit(buffer, from, at);
    }
  }
}
