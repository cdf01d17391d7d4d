import { once } from "node:events";
import { finished } from "node:stream/promises";
import { from as copyFrom } from "pg-copy-streams";
import type { Client } from "./pool.ts";

/** Where COPY's binary format begins: its signature, no flags, no header extension. */
const header = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const trailer = Buffer.from([0xff, 0xff]);
const textOid = 25;

/**
 * Rows are sent on in pieces of about this size: about as much as the system buffers for a connection, so that the server has
 * work while this process is busy with other things. Smaller pieces make it wait for each; larger ones only take memory.
 */
const chunkBytes = 2 * 1024 * 1024;

/** The size of the first piece. It doubles from piece to piece, so that small writes take little and large ones begin soon. */
const firstBytes = 32 * 1024;

/**
 * Builds rows in COPY's binary format (PostgreSQL manual, "COPY", "Binary Format"). The binary format needs no escaping
 * and is cheaper for the server to read than text.
 *
 * Begin each row with `row`, then call one method per column, in the order of the statement.
 */
export class CopyRows {
  #buffer = Buffer.allocUnsafe(firstBytes);
  #length = header.copy(this.#buffer);

  /** Takes what is there once it is worth sending; undefined before. Only between rows. */
  takeChunk(): Buffer | undefined {
    // What is left of the buffer is enough for most rows, and the others make it grow.
    const { length } = this.#buffer;
    if (this.#length < (length / 8) * 7) return undefined;
    const chunk = this.#buffer.subarray(0, this.#length);
    this.#buffer = Buffer.allocUnsafe(Math.min(2 * length, chunkBytes));
    this.#length = 0;
    return chunk;
  }

  row(columns: number): void {
    this.#reserve(2);
    this.#length = this.#buffer.writeInt16BE(columns, this.#length);
  }

  text(value: string | undefined): void {
    if (value === undefined) {
      this.#null();
      return;
    }
    // UTF-8 takes at most three bytes per UTF-16 unit.
    this.#reserve(4 + value.length * 3);
    const written = this.#buffer.write(value, this.#length + 4);
    this.#buffer.writeInt32BE(written, this.#length);
    this.#length += 4 + written;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(4 + value.length);
    this.#length = this.#buffer.writeInt32BE(value.length, this.#length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  int8(value: number | bigint | undefined): void {
    if (value === undefined) {
      this.#null();
      return;
    }
    this.#reserve(12);
    this.#length = this.#buffer.writeInt32BE(8, this.#length);
    if (typeof value === "bigint") {
      this.#length = this.#buffer.writeBigInt64BE(value, this.#length);
    } else {
      // Two halves spare a bigint per value. The upper one is floored, so that negative numbers come out in two's complement.
      this.#length = this.#buffer.writeInt32BE(Math.floor(value / 2 ** 32), this.#length);
      this.#length = this.#buffer.writeUInt32BE(value >>> 0, this.#length);
    }
  }

  boolean(value: boolean): void {
    this.#reserve(5);
    this.#length = this.#buffer.writeInt32BE(1, this.#length);
    this.#length = this.#buffer.writeUInt8(value ? 1 : 0, this.#length);
  }

  /** A one-dimensional text[]. */
  texts(values: readonly string[]): void {
    this.#reserve(24);
    const start = this.#length;
    this.#length += 4;
    this.#length = this.#buffer.writeInt32BE(values.length === 0 ? 0 : 1, this.#length);
    this.#length = this.#buffer.writeInt32BE(0, this.#length);
    this.#length = this.#buffer.writeInt32BE(textOid, this.#length);
    if (values.length > 0) {
      this.#length = this.#buffer.writeInt32BE(values.length, this.#length);
      this.#length = this.#buffer.writeInt32BE(1, this.#length);
      for (const value of values) this.text(value);
    }
    this.#buffer.writeInt32BE(this.#length - start - 4, start);
  }

  /** The rest, with the trailer. The builder is spent afterwards. */
  finish(): Buffer {
    this.#reserve(trailer.length);
    this.#length += trailer.copy(this.#buffer, this.#length);
    return this.#buffer.subarray(0, this.#length);
  }

  #null(): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32BE(-1, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/**
 * Runs a `copy … from stdin (format binary)` with the rows that `encode` adds to `rows`, one for each item. They are sent
 * while later ones are encoded. Throws what the server says of them.
 */
export async function copyIn<T, R extends CopyRows>(
  client: Client,
  statement: string,
  rows: R,
  items: readonly T[],
  encode: (rows: R, item: T) => void,
): Promise<void> {
  const stream = client.query(copyFrom(statement));
  // The server may refuse a row while others are under way: then the stream ends, and so does the sending.
  const done = finished(stream);
  done.catch(() => undefined);
  try {
    for (const item of items) {
      encode(rows, item);
      const chunk = rows.takeChunk();
      if (chunk !== undefined && !stream.write(chunk)) await Promise.race([once(stream, "drain"), done]);
    }
    stream.end(rows.finish());
  } catch (error) {
    // Else the connection would wait for the rest of the rows, and a rollback behind it.
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
  }
  await done;
}
