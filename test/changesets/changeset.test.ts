import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Changeset,
  type ChangesetMode,
  guardFailure,
  isNoOp,
  type MirrorGuard,
  mirrorDeletions,
  noGuard,
  notReady,
  unmatch,
} from "../../src/changesets/changeset.ts";
import { importRows, type ModelRow } from "../upsert/model.ts";

type Counts = Changeset["counts"];

/** Returns counts from plain numbers. */
function counts(created: number, updated: number, unchanged: number, deleted = 0): Counts {
  return {
    created: BigInt(created),
    updated: BigInt(updated),
    unchanged: BigInt(unchanged),
    deleted: BigInt(deleted),
  };
}

describe("a guard", () => {
  /** Returns the bound that a mirror of 5 rows exceeds if it deletes this many of this many items. */
  function broken(
    deleted: number,
    itemCount: number,
    guard: Partial<MirrorGuard>,
    { mode = "mirror" as ChangesetMode, received = 5n } = {},
  ) {
    const write = {
      mode,
      guard: { ...noGuard, ...guard },
      received,
      counts: counts(0, 0, 5, deleted),
      requestId: "r",
    };
    return guardFailure(write, BigInt(itemCount))?.facts.bound;
  }

  test("allows anything without bounds", () => {
    expect(broken(100, 100, {})).toBeUndefined();
  });

  test("allows as many deletions as its count", () => {
    expect(broken(3, 100, { maxDeleteCount: 3n })).toBeUndefined();
    expect(broken(4, 100, { maxDeleteCount: 3n })).toBe("max_delete_count");
    expect(broken(0, 100, { maxDeleteCount: 0n })).toBeUndefined();
  });

  test("allows deletions up to exactly its ratio, despite binary fractions", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.nat(1000), (itemCount, some) => {
        const deleted = some % (itemCount + 1);
        const maxDeleteRatio = deleted / itemCount;
        expect(broken(deleted, itemCount, { maxDeleteRatio })).toBeUndefined();
        if (deleted < itemCount) {
          expect(broken(deleted + 1, itemCount, { maxDeleteRatio })).toBe("max_delete_ratio");
        }
      }),
    );
    expect(broken(29, 100, { maxDeleteRatio: 0.29 })).toBeUndefined();
  });

  test("allows a mirror of an empty dataset at any ratio", () => {
    expect(broken(0, 0, { maxDeleteRatio: 0 })).toBeUndefined();
  });

  test("must allow a mirror without rows even if there is nothing to delete", () => {
    expect(broken(0, 0, {}, { received: 0n })).toBe("allow_empty");
    expect(broken(9, 9, { maxDeleteRatio: 1, maxDeleteCount: 9n }, { received: 0n })).toBe("allow_empty");
    expect(broken(9, 9, { allowEmpty: true }, { received: 0n })).toBeUndefined();
    expect(broken(9, 9, { allowEmpty: true, maxDeleteCount: 8n }, { received: 0n })).toBe("max_delete_count");
  });

  test.each<ChangesetMode>(["merge", "edit"])("does not matter to %s", (mode) => {
    expect(broken(9, 9, { maxDeleteCount: 0n }, { mode, received: 0n })).toBeUndefined();
  });

  test("reports the number of items, and how many would be deleted", () => {
    const write = {
      mode: "mirror" as const,
      guard: { ...noGuard, maxDeleteCount: 1n },
      received: 1n,
      counts: counts(0, 0, 1, 2),
      requestId: "r",
    };
    expect(guardFailure(write, 3n)).toMatchObject({
      reason: "DELETE_LIMIT_EXCEEDED",
      facts: { request_id: "r", would_delete: 2n, item_count: 3n, bound: "max_delete_count" },
    });
  });
});

describe("mirrorDeletions", () => {
  test("counts every item that no row stands for, as the model does", () => {
    const row = fc.record({ itemId: fc.constantFrom("", "a", "b", "c"), content: fc.constantFrom("1", "2") });
    const rows = fc.uniqueArray(row, {
      selector: ({ itemId }) => itemId || Symbol("any number of rows have no id"),
      maxLength: 6,
    });
    fc.assert(
      fc.property(rows, rows, (first: ModelRow[], second: ModelRow[]) => {
        const items = new Map<string, string>();
        importRows(items, first, "merge");
        const before = BigInt(items.size);
        const done = importRows(items, second, "mirror");
        const known = counts(done.created, done.updated, done.unchanged);
        expect(mirrorDeletions(before, known)).toBe(BigInt(done.deleted));
      }),
    );
  });
});

describe("unmatch", () => {
  test("counts each row without an id as created again, exactly once", () => {
    const changeset = {
      counts: counts(2, 3, 4),
      unidentified: { rows: 5n, updated: 1n, unchanged: 2n },
    } as Changeset;
    for (let times = 0; times < 2; times++) {
      unmatch(changeset);
      expect(changeset.counts).toEqual(counts(5, 2, 2));
      expect(changeset.unidentified).toEqual({ rows: 5n, updated: 0n, unchanged: 0n });
    }
  });
});

test("a write is a no-op if it creates, updates and deletes nothing", () => {
  expect(isNoOp(counts(0, 0, 9))).toBe(true);
  for (const some of [counts(1, 0, 0), counts(0, 1, 0), counts(0, 0, 0, 1)]) expect(isNoOp(some)).toBe(false);
});

test("a write in the wrong state reports the state by its name in the contract", () => {
  expect(notReady({ requestId: "r", state: "planned" })).toMatchObject({
    reason: "UPSERT_NOT_READY",
    facts: { request_id: "r", state: "STATE_PLANNED" },
  });
});
