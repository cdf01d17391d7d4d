import fc from "fast-check";

/** There are few items, so that writes collide, and even fewer contents and splits. */
const itemId = fc.nat(6).map((n) => `k${n}`);
const content = fc.nat(3).map((n) => JSON.stringify({ n }));
const splits = fc.subarray(["test", "train"]);
const item = fc.record({ itemId, content, splits });
const items = fc.uniqueArray(item, { selector: (one) => one.itemId, maxLength: 5 });
/** A version, counted back from the latest; beyond the first it is version 0. */
const versionsAgo = fc.nat(8);
const tag = fc.constantFrom("prod", "dev");

/** Any write to a dataset or its metadata. */
export const writeArbitrary = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("create" as const), item }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("insert" as const),
      items: fc.uniqueArray(item, { selector: (one) => one.itemId, minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("update" as const), itemId, content, splits }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("delete" as const),
      itemIds: fc.uniqueArray(itemId, { maxLength: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("merge" as const),
      items,
      replaceSplits: fc.boolean(),
      plan: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("mirror" as const),
      items,
      replaceSplits: fc.boolean(),
      plan: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("restore" as const), versionsAgo, plan: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("purge" as const), itemId }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("tag" as const), tag, versionsAgo }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("untag" as const), tag }) },
);

export type Write = typeof writeArbitrary extends fc.Arbitrary<infer W> ? W : never;

/** A sequence of writes. */
export const writesArbitrary = fc.array(writeArbitrary, { minLength: 1, maxLength: 16, size: "max" });
