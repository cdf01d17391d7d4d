import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { upsertItems } from "../../src/upsert/upsert-items.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { comparable, importRows, type ModelRow } from "./model.ts";
import { countsOf, readVersion, requestFor, row, targetNamed, writing } from "./writer.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

let datasets = 0;
const newName = () => `dataset ${++datasets}`;

/** `e1:1` is a row with the id e1 and the input 1; `–:1` one without an id. */
function rows(notation: string) {
  return notation
    .split(" ")
    .filter(Boolean)
    .map((text) => {
      const [itemId = "", input = ""] = text.split(":");
      return row(itemId === "–" ? "" : itemId, { a: input });
    });
}

async function upsert(name: string, notation: string, special: Parameters<typeof requestFor>[1] = {}) {
  const { changeset } = await upsertItems(
    writing(database.pool),
    targetNamed(name),
    rows(notation),
    requestFor(name, special),
  );
  return changeset;
}

describe("an upsert", () => {
  test.each([
    ["e1:1", "e1:1", "c0 u0 n1 d0"],
    ["–:1", "–:1", "c0 u0 n1 d0"],
    ["e1:1", "e1:2", "c0 u1 n0 d0"],
    ["e1:1", "–:1", "c0 u0 n1 d0"],
    ["–:1", "new:1", "c1 u0 n0 d1"],
    ["e1:1", "–:2", "c1 u0 n0 d1"],
    ["–:1", "–:1 –:1", "c1 u0 n1 d0"],
    ["–:1 –:1", "–:1", "c0 u0 n1 d1"],
    ["x:1 y:1 z:1", "x:1 y:2 w:1", "c1 u1 n1 d1"],
    ["e1:1 e2:1", "–:1 e1:2", "c0 u1 n1 d0"],
  ])("that mirrors %s by %s counts %s", async (first, second, expected) => {
    const name = newName();
    await upsert(name, first);
    const { counts, version, outcomeVersion } = await upsert(name, second, { mode: "mirror" });
    expect(`c${counts.created} u${counts.updated} n${counts.unchanged} d${counts.deleted}`).toBe(expected);
    const changed = counts.created + counts.updated + counts.deleted > 0n;
    expect(version).toBe(changed ? 2n : undefined);
    expect(outcomeVersion).toBe(changed ? 2n : 1n);
  });

  test("that merges deletes nothing", async () => {
    const name = newName();
    await upsert(name, "x:1 y:1 z:1");
    expect(countsOf(await upsert(name, "x:1 y:2 w:1"))).toEqual({
      created: 1,
      updated: 1,
      unchanged: 1,
      deleted: 0,
    });
  });

  test("recreates a deleted item", async () => {
    const name = newName();
    await upsert(name, "x:1 y:1");
    await upsert(name, "y:1", { mode: "mirror" });
    const back = await upsert(name, "x:1");
    expect(countsOf(back)).toEqual({ created: 1, updated: 0, unchanged: 0, deleted: 0 });
    expect(
      await Promise.all(
        [1n, 2n, 3n].map(async (version) =>
          (await readVersion(database.pool, back.datasetId, version)).map((item) => item.itemId),
        ),
      ),
    ).toEqual([["x", "y"], ["y"], ["x", "y"]]);
  });

  test("agrees with the model on random imports, and leaves older versions unchanged", async () => {
    const name = newName();
    const model = new Map<string, string>();
    const history: ReturnType<typeof comparable>[] = [comparable([])];
    let datasetId = "";
    let random = 1;
    const next = (below: number) => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    for (let step = 0; step < 300; step++) {
      const taken = new Set<string>();
      const sent: ModelRow[] = Array.from({ length: next(8) }, () => {
        const itemId = next(3) === 0 ? "" : `k${next(10)}`;
        return { itemId: taken.has(itemId) ? "" : itemId, content: JSON.stringify({ a: next(4) }) };
      }).map((one) => {
        const itemId = taken.has(one.itemId) ? "" : one.itemId;
        if (itemId !== "") taken.add(itemId);
        return { ...one, itemId };
      });
      const mode = next(2) === 0 ? "merge" : "mirror";
      const expected = importRows(model, sent, mode);
      const { changeset } = await upsertItems(
        writing(database.pool),
        targetNamed(name),
        sent.map((one) => row(one.itemId, JSON.parse(one.content))),
        requestFor(name, { mode }),
      );
      datasetId = changeset.datasetId;
      expect(countsOf(changeset), `step ${step}`).toEqual(expected);
      if (changeset.version !== undefined) history.push(comparable(model));
      expect(history).toHaveLength(Number(changeset.outcomeVersion) + 1);
    }
    for (const [version, state] of history.entries()) {
      const items = await readVersion(database.pool, datasetId, BigInt(version));
      expect(comparable(items.map((item) => [item.itemId, item.input ?? ""]))).toEqual(state);
    }
  });
});
