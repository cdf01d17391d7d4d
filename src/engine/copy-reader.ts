import { readSync } from "node:fs";
import { copyHeaderBytes, endOfRows } from "../db/copied-columns.ts";

/** Bytes that precede the value of a row with one column: the number of columns, the number of bytes. */
const rowHeaderBytes = 6;

/** Bytes per read. */
const pieceBytes = 256 * 1024;

const open = Buffer.from("[");
const comma = Buffer.from(",");
const close = Buffer.from("]");

/** Rows as one JSON array. */
export interface Block {
  readonly rowCount: number;
  readonly json: string;
}

/**
 * Reads rows with one column, a JSON text, in the binary format of PostgreSQL's COPY from a file descriptor. It blocks
 * while there are none: the engine asks for rows from within a call, and cannot be asked to come back later. `CopiedColumns`
 * reads the same format from a whole page in memory, which would not do for versions of any size.
 */
export class CopyReader {
  readonly #descriptor: number;
  #buffer = Buffer.alloc(0);
  #at = 0;
  #state: "header" | "rows" | "over" = "header";

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Returns the next bytes, which precede the rows. */
  takeBytes(length: number): Buffer {
    this.#require(length);
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }

  /**
   * Returns the next rows, up to the first row with which they have this many bytes; undefined after the last.
   *
   * @throws Error if the input ends within the rows.
   */
  readBlock(bytes: number): Block | undefined {
    if (this.#state === "header") {
      this.takeBytes(copyHeaderBytes);
      this.#state = "rows";
    }
    const pieces: Buffer[] = [];
    let size = 0;
    while (size < bytes) {
      const row = this.#readRow();
      if (row === undefined) break;
      // The buffer is never written again, so parts of it may be kept.
      pieces.push(pieces.length === 0 ? open : comma, row);
      size += row.length;
    }
    if (pieces.length === 0) return undefined;
    pieces.push(close);
    return { rowCount: (pieces.length - 1) / 2, json: Buffer.concat(pieces).toString() };
  }

  #readRow(): Buffer | undefined {
    if (this.#state === "over") return undefined;
    this.#require(2);
    if (this.#buffer.readInt16BE(this.#at) === endOfRows) {
      this.#state = "over";
      return undefined;
    }
    this.#require(rowHeaderBytes);
    const length = this.#buffer.readInt32BE(this.#at + 2);
    this.#at += rowHeaderBytes;
    return this.takeBytes(length);
  }

  /** Ensures that this many bytes are in the buffer. */
  #require(length: number): void {
    let available = this.#buffer.length - this.#at;
    if (available >= length) return;
    const larger = Buffer.allocUnsafe(Math.max(length, pieceBytes) + pieceBytes);
    this.#buffer.copy(larger, 0, this.#at);
    while (available < length) {
      const read = readSync(this.#descriptor, larger, available, larger.length - available, null);
      if (read === 0) throw new Error("the input ended within the rows");
      available += read;
    }
    this.#buffer = larger.subarray(0, available);
    this.#at = 0;
  }
}
