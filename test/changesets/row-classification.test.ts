import { describe, expect, test } from "vitest";
import { classify } from "../../src/changesets/row-classification.ts";

const hash = (byte: number) => Buffer.alloc(32, byte);
const row = (byte: number, splits: string[], keepsSplits = false) => ({
  contentHash: hash(byte),
  splits,
  keepsSplits,
});
const item = (byte: number, splits: string[]) => ({ contentHash: hash(byte), splits });

describe("a row", () => {
  test.each([
    ["creates an item that does not exist", row(1, ["train"]), undefined, "created", ["train"]],
    ["creates it without splits where it has none", row(1, [], true), undefined, "created", []],
    [
      "leaves equal content and splits unchanged",
      row(1, ["a", "b"]),
      item(1, ["a", "b"]),
      "unchanged",
      ["a", "b"],
    ],
    ["updates other content", row(2, ["a"]), item(1, ["a"]), "updated", ["a"]],
    ["updates other splits", row(1, ["b"]), item(1, ["a"]), "updated", ["b"]],
    ["updates more splits", row(1, ["a", "b"]), item(1, ["a"]), "updated", ["a", "b"]],
    ["removes the item from all splits", row(1, []), item(1, ["a"]), "updated", []],
    ["that keeps splits leaves them unchanged", row(1, [], true), item(1, ["a"]), "unchanged", ["a"]],
    ["that keeps splits updates content only", row(2, [], true), item(1, ["a"]), "updated", ["a"]],
  ] as const)("%s", (_, sent, present, kind, splits) => {
    const classified = classify({ ...sent, splits: [...sent.splits] }, present);
    expect(classified).toEqual({ kind, splits });
  });
});
