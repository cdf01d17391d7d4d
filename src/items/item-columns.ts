/**
 * The columns of an item that are passed on undecoded, in this order: a version that is streamed at the speed of the
 * database is too long for an object per item. `splits` is an array of one dimension.
 */
export const itemColumns = [
  "item_id",
  "input",
  "expected_output",
  "metadata",
  "splits",
  "content_hash",
  "purged",
] as const;
