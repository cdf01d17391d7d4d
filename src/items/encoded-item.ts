/**
 * An item as the database sends it in COPY's binary format, for a version that is streamed at the speed of the database:
 * column n of `encodedColumns` has `lengths[n]` bytes of `buffer` from `starts[n]` on, or is null if that is negative.
 */
export interface EncodedItem {
  readonly buffer: Buffer;
  readonly starts: Int32Array;
  readonly lengths: Int32Array;
}

/** Texts are UTF-8, numbers and times big-endian, `splits` an array of one dimension, `purged` one byte. */
export const encodedColumns = [
  "item_id",
  "input",
  "expected_output",
  "metadata",
  "splits",
  "content_hash",
  "version",
  "create_time",
  "update_time",
  "purged",
] as const;
