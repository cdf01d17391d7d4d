import { describe, expect, test } from "vitest";
import { JoinedLookups } from "../../src/db/joined-lookups.ts";

/** Look-ups that give the number of their statement for each key but `none`, once they are let go. */
function lookups() {
  const statements: {
    readonly keys: readonly string[];
    readonly answer: () => void;
    readonly fail: () => void;
  }[] = [];
  const joined = new JoinedLookups<number>(
    (keys) =>
      new Promise((resolve, reject) => {
        const number = statements.length;
        const found = keys.filter((key) => key !== "none").map((key) => [key, number] as const);
        statements.push({
          keys,
          answer: () => resolve(new Map(found)),
          fail: () => reject(new Error("no database")),
        });
      }),
  );
  const begun = (count: number) => expect.poll(() => statements.length).toBe(count);
  return { joined, statements, begun };
}

describe("joined look-ups", () => {
  test("ask once for all who ask at once, and tell each what there is for its key", async () => {
    const { joined, statements, begun } = lookups();
    const found = Promise.all(["a", "b", "a", "none"].map((key) => joined.find(key)));
    await begun(1);
    statements[0]?.answer();
    expect(await found).toEqual([0, 0, 0, undefined]);
    expect(statements.map(({ keys }) => keys)).toEqual([["a", "b", "none"]]);
  });

  test("never answer with a statement that began before the question", async () => {
    const { joined, statements, begun } = lookups();
    const first = joined.find("a");
    await begun(1);
    const later = Promise.all([joined.find("a"), joined.find("b")]);
    statements[0]?.answer();
    expect(await first).toBe(0);
    await begun(2);
    statements[1]?.answer();
    expect(await later).toEqual([1, 1]);
    expect(statements[1]?.keys).toEqual(["a", "b"]);
  });

  test("fail for those whose statement failed, and go on with the next", async () => {
    const { joined, statements, begun } = lookups();
    const failing = Promise.allSettled([joined.find("a"), joined.find("b")]);
    await begun(1);
    const later = joined.find("a");
    statements[0]?.fail();
    expect((await failing).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await begun(2);
    statements[1]?.answer();
    expect(await later).toBe(1);
  });
});
