import type { Readable } from "node:stream";
import pg from "pg";
import { to as copyTo } from "pg-copy-streams";
import type { Instant } from "../instant.ts";
import type { Client, Pool } from "./pool.ts";
import { databaseFault } from "./sqlstate.ts";

/** Where the rows begin: behind the signature, the flags and the length of the header extension, which is empty. */
const headerBytes = 19;

/** What stands in place of a column count behind the last row. */
const endOfRows = -1;

/** Microseconds from 1970 to 2000, where PostgreSQL counts from. */
const postgresEpoch = 946_684_800_000_000n;

/**
 * Reads rows in COPY's binary format (PostgreSQL manual, "COPY", "Binary Format"), one column after the other, each with the
 * method of its type. SQL's null is undefined.
 */
export class CopiedRow {
  readonly #buffer: Buffer;
  #at = headerBytes;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Goes to the next row; false behind the last one. Only where all columns of the row before are read. */
  next(): boolean {
    const columns = this.#buffer.readInt16BE(this.#at);
    this.#at += 2;
    return columns !== endOfRows;
  }

  text(): string | undefined {
    const length = this.#length();
    if (length === undefined) return undefined;
    const start = this.#at;
    this.#at += length;
    return this.#buffer.toString("utf8", start, this.#at);
  }

  bytes(): Buffer | undefined {
    const length = this.#length();
    if (length === undefined) return undefined;
    const start = this.#at;
    this.#at += length;
    // A copy, so that a hash does not keep the whole page.
    return Buffer.from(this.#buffer.subarray(start, this.#at));
  }

  int4(): number | undefined {
    if (this.#length() === undefined) return undefined;
    this.#at += 4;
    return this.#buffer.readInt32BE(this.#at - 4);
  }

  int8(): bigint | undefined {
    if (this.#length() === undefined) return undefined;
    this.#at += 8;
    return this.#buffer.readBigInt64BE(this.#at - 8);
  }

  float8(): number | undefined {
    if (this.#length() === undefined) return undefined;
    this.#at += 8;
    return this.#buffer.readDoubleBE(this.#at - 8);
  }

  /** A timestamptz. */
  instant(): Instant | undefined {
    const micros = this.int8();
    return micros === undefined ? undefined : micros + postgresEpoch;
  }

  /** The length of the next column, undefined for null. */
  #length(): number | undefined {
    const length = this.#buffer.readInt32BE(this.#at);
    this.#at += 4;
    return length < 0 ? undefined : length;
  }
}

/** A value within a statement that takes no parameters, as COPY. */
export function literal(value: string | bigint | number): string {
  return typeof value === "string" ? pg.escapeLiteral(value) : `${value}`;
}

/** The bytes of COPY in the binary format as they come, of a table of any size. Has to be read to its end or destroyed. */
export function streamOut(client: Client, query: string): Readable {
  return client.query(copyTo(`copy (${query}) to stdout (format binary)`));
}

/**
 * Runs a query by COPY and gives what `read` makes of each row, all at once: a page, not a table. For wide rows this takes a
 * fifth of what pg takes, which reads every column as text and turns it into a value of its own.
 *
 * The query has no parameters: put values in with `literal`.
 */
export async function copyOut<T>(pool: Pool, query: string, read: (row: CopiedRow) => T): Promise<T[]> {
  const client = await pool.connect();
  let bytes: Buffer;
  let broken: Error | undefined;
  try {
    bytes = await copyBytes(client, query);
  } catch (error) {
    // After an error of the statement the connection is as good as before, unless it is the server's last word on it.
    const isOver = !(error instanceof pg.DatabaseError) || databaseFault(error)?.kind === "unavailable";
    broken = isOver ? (error as Error) : undefined;
    throw error;
  } finally {
    client.release(broken);
  }
  const row = new CopiedRow(bytes);
  const rows: T[] = [];
  while (row.next()) rows.push(read(row));
  return rows;
}

/** The same on a connection that is checked out, without reading the rows: for `CopiedRow` or `CopiedColumns`. */
export async function copyBytes(client: Client, query: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of client.query(copyTo(`copy (${query}) to stdout (format binary)`)))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Tells where the columns of rows are in the bytes of COPY's binary format, row by row, for who passes them on as they are:
 * column n of the present row has `lengths[n]` bytes of `buffer` from `starts[n]` on, or is null if that is negative.
 */
export class CopiedColumns {
  readonly buffer: Buffer;
  readonly starts: Int32Array;
  readonly lengths: Int32Array;
  #at = headerBytes;

  constructor(buffer: Buffer, columns: number) {
    this.buffer = buffer;
    this.starts = new Int32Array(columns);
    this.lengths = new Int32Array(columns);
  }

  /** Goes to the next row; false behind the last one. */
  next(): boolean {
    const { buffer, starts, lengths } = this;
    let at = this.#at;
    const columns = buffer.readInt16BE(at);
    at += 2;
    for (let column = 0; column < columns; column++) {
      const length = buffer.readInt32BE(at);
      at += 4;
      starts[column] = at;
      lengths[column] = length;
      if (length > 0) at += length;
    }
    this.#at = at;
    return columns !== endOfRows;
  }
}
