import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rebaseRow, type TouchedRow } from "../../src/changesets/rebased-row.ts";
import { classify } from "../../src/changesets/row-classification.ts";

const hash = (byte: number) => Buffer.alloc(32, byte);
const state = (byte: number, ...splits: string[]) => ({ contentHash: hash(byte), splits });
const head = (byte: number, ...splits: string[]) => ({ ...state(byte, ...splits), originChangesetId: 7n });

function rebase(row: Partial<TouchedRow>) {
  const { before, after, becomes } = rebaseRow({
    itemId: "x",
    rowNumber: 0,
    keepsSplits: false,
    staged: undefined,
    base: undefined,
    head: undefined,
    ...row,
  });
  return { change: `${before} → ${after}`, hash: becomes.contentHash[0], splits: becomes.splits };
}

describe("a row whose item others have touched", () => {
  test.each<[string, Partial<TouchedRow>, string]>([
    ["that created an item that now exists", { staged: state(1), head: head(1) }, "created → unchanged"],
    ["that created an item that now differs", { staged: state(1), head: head(2) }, "created → updated"],
    [
      "that makes the same update as others did",
      { staged: state(2), base: state(1), head: head(2) },
      "updated → unchanged",
    ],
    [
      "that makes another update than others did",
      { staged: state(2), base: state(1), head: head(3) },
      "updated → updated",
    ],
    ["that updates a deleted item", { staged: state(2), base: state(1) }, "updated → created"],
    ["that found its item as it is again now", { base: state(1), head: head(1) }, "unchanged → unchanged"],
    ["that found unchanged an item changed since", { base: state(1), head: head(2) }, "unchanged → updated"],
    ["that found unchanged an item deleted since", { base: state(1) }, "unchanged → created"],
  ])("%s", (_, row, change) => {
    expect(rebase(row).change).toBe(change);
  });

  test("means the content that its item had when it found it unchanged", () => {
    expect(rebase({ base: state(1, "a"), head: head(2, "b") })).toMatchObject({ hash: 1, splits: ["a"] });
  });

  test("keeps the current splits of the item if it keeps splits", () => {
    const keeping = { base: state(1, "a"), keepsSplits: true };
    expect(rebase({ ...keeping, head: head(1, "b") })).toMatchObject({
      change: "unchanged → unchanged",
      splits: ["b"],
    });
    expect(rebase({ ...keeping, staged: state(2, "a"), head: head(1, "b") })).toMatchObject({
      change: "updated → updated",
      splits: ["b"],
    });
  });

  test("creates an item without splits if it keeps those of a deleted item", () => {
    expect(rebase({ base: state(1, "a"), keepsSplits: true })).toMatchObject({
      change: "unchanged → created",
      splits: [],
    });
  });

  test("stands for an item that it did not bring", () => {
    expect(() => rebase({ head: head(1) })).toThrow("neither a revision nor an item");
  });

  test("ends as if it had been sent after the versions in between", () => {
    const splits = fc.subarray(["a", "b"]);
    const item = fc.option(fc.record({ byte: fc.nat(2), splits }), { nil: undefined });
    const sent = fc.record({ byte: fc.nat(2), splits, replaces: fc.boolean() });
    fc.assert(
      fc.property(item, sent, item, (base, row, now) => {
        const keepsSplits = row.splits.length === 0 && !row.replaces;
        const asSent = { contentHash: hash(row.byte), splits: row.splits, keepsSplits };
        const baseItem = base && state(base.byte, ...base.splits);
        const first = classify(asSent, baseItem);
        const staged = first.kind === "unchanged" ? undefined : state(row.byte, ...first.splits);
        const present = now && head(now.byte, ...now.splits);
        const rebased = rebaseRow({
          itemId: "x",
          rowNumber: 0,
          keepsSplits,
          staged,
          base: baseItem,
          head: present,
        });
        const fresh = classify(asSent, present);
        expect(rebased.before).toBe(first.kind);
        expect(rebased.after).toBe(fresh.kind);
        expect(rebased.becomes).toEqual({ contentHash: hash(row.byte), splits: fresh.splits });
      }),
      { numRuns: 2_000 },
    );
  });
});
