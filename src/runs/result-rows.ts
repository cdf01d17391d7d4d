import { CopyRows } from "../db/copy.ts";
import type { Instant } from "../instant.ts";

/** Microseconds from 1970 to 2000, where PostgreSQL counts from. */
const postgresEpoch = 946_684_800_000_000n;

const textOid = 25;
const float8Oid = 701;

/** Rows for COPY with the types that results need beyond those of items. */
export class ResultRows extends CopyRows {
  readonly #four = Buffer.alloc(4);
  readonly #eight = Buffer.alloc(8);

  int4(value: number): void {
    this.#four.writeInt32BE(value);
    this.bytes(this.#four);
  }

  float8(value: number | undefined): void {
    if (value === undefined) {
      this.text(undefined);
    } else {
      this.#eight.writeDoubleBE(value);
      this.bytes(this.#eight);
    }
  }

  timestamptz(value: Instant | undefined): void {
    this.int8(value === undefined ? undefined : value - postgresEpoch);
  }

  /** A text[], or null. */
  textsOrNull(values: readonly string[] | undefined): void {
    if (values === undefined) this.text(undefined);
    else this.bytes(array(textOid, values, (value) => Buffer.from(value)));
  }

  /** A float8[] that may hold nulls, or null. */
  float8s(values: readonly (number | undefined)[] | undefined): void {
    if (values === undefined) this.text(undefined);
    else this.bytes(array(float8Oid, values, (value) => (value === undefined ? undefined : double(value))));
  }
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

/** A one-dimensional array with at least one element, in the binary format. */
function array<T>(oid: number, values: readonly T[], encode: (value: T) => Buffer | undefined): Buffer {
  const encoded = values.map(encode);
  const header = Buffer.alloc(20);
  header.writeInt32BE(1, 0);
  header.writeInt32BE(encoded.includes(undefined) ? 1 : 0, 4);
  header.writeInt32BE(oid, 8);
  header.writeInt32BE(values.length, 12);
  header.writeInt32BE(1, 16);
  const parts: Buffer[] = [header];
  for (const value of encoded) {
    const length = Buffer.alloc(4);
    length.writeInt32BE(value?.length ?? -1);
    parts.push(length);
    if (value !== undefined) parts.push(value);
  }
  return Buffer.concat(parts);
}
