import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type IncompleteItem, IncompleteView } from "../../gen/itembank/v1/run_service_pb.js";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import {
  failed,
  invalid,
  mirror,
  named,
  newRun,
  questions,
  type RunServiceUnderTest,
  refusalOf,
  runService,
  success,
} from "./run-service.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  await mirror(service, "qa", questions(5));
});
afterAll(() => database.drop());

type Request = Parameters<RunServiceUnderTest["runs"]["listIncomplete"]>[0];
const list = (request: Request) => service.runs.listIncomplete(request);
const plain = ({ itemId, missingRepetitions, failedRepetitions }: IncompleteItem) => [
  itemId,
  missingRepetitions,
  failedRepetitions,
];

/** Reads all entries, page by page. No page but the last may be empty. */
async function pages(request: Request): Promise<IncompleteItem[][]> {
  const all: IncompleteItem[][] = [];
  let pageToken = "";
  do {
    const page = await list({ ...request, pageToken });
    pageToken = page.nextPageToken;
    if (pageToken !== "") expect(page.items).not.toEqual([]);
    all.push(page.items);
  } while (pageToken !== "");
  return all;
}

describe("ListIncomplete", () => {
  test("lists missing and failed repetitions of each item that lacks a success, by item_id", async () => {
    const { runId } = await newRun(service, "qa", { repetitions: 3 });
    const results = [
      ...[1, 2, 3].map((repetition) => success("q1", 1, { repetition })),
      success("q2", 1, { repetition: 2 }),
      failed("q3", "no"),
      failed("q3", "no", { repetition: 3 }),
      ...[1, 2, 3].map((repetition) => failed("q5", "no", { repetition })),
    ];
    await service.runs.recordResults({ runId, results });
    const { items, nextPageToken } = await list({ runId });
    expect(items.map(plain)).toEqual([
      ["q2", [1, 3], []],
      ["q3", [2], [1, 3]],
      ["q4", [1, 2, 3], []],
      ["q5", [], [1, 2, 3]],
    ]);
    expect(nextPageToken).toBe("");
    expect(items.every(({ item }) => item === undefined)).toBe(true);
  });

  test("repeatedly recording the listed items completes the run", async () => {
    const { runId } = await newRun(service, "qa", { repetitions: 2 });
    for (let round = 0; round < 3; round++) {
      const { items } = await list({ runId });
      const results = items.flatMap(({ itemId, missingRepetitions, failedRepetitions }) =>
        [...missingRepetitions, ...failedRepetitions].map((repetition) =>
          (repetition + round) % 2
            ? success(itemId, 1, { repetition })
            : failed(itemId, "no", { repetition }),
        ),
      );
      await service.runs.recordResults({ runId, results });
    }
    expect((await list({ runId })).items).toEqual([]);
    expect((await service.runs.getRun({ runId })).run?.counts).toMatchObject({ succeeded: 10n, missing: 0n });
  });

  test("considers the current result of a cell, not replaced or deleted ones", async () => {
    const { runId } = await newRun(service, "qa");
    const record = (...results: ReturnType<typeof success>[]) =>
      service.runs.recordResults({ runId, results, overwrite: true });
    await record(...["q1", "q2", "q3", "q4", "q5"].map((itemId) => success(itemId, 1)));
    expect((await list({ runId })).items).toEqual([]);
    await record(failed("q2", "was wrong"));
    await service.runs.deleteResults({ runId, cells: [{ itemId: "q4", repetition: 1 }] });
    expect((await list({ runId })).items.map(plain)).toEqual([
      ["q2", [], [1]],
      ["q4", [1], []],
    ]);
  });

  test("lists items of the run's splits at its version, regardless of later writes and of the run's state", async () => {
    await mirror(service, "moving", {
      a: { input: "before", splits: ["x"] },
      b: { input: 2, splits: ["x"] },
      c: { input: 3, splits: ["y"] },
    });
    const { runId } = await newRun(service, "moving", { splits: ["x"] });
    await mirror(service, "moving", { a: { input: "after", splits: ["x"] }, d: { input: 4, splits: ["x"] } });
    await service.runs.cancelRun({ runId });
    const { items } = await list({ runId, view: IncompleteView.WITH_ITEM });
    expect(items).toMatchObject([
      { itemId: "a", missingRepetitions: [1], item: { itemId: "a", inputJson: '"before"', version: 1n } },
      { itemId: "b", item: { inputJson: "2", splits: ["x"] } },
    ]);
    expect(items).toHaveLength(2);
  });

  test.each([1, 2, 3, 4, 5])("returns every item once, page by page, at page size %i", async (pageSize) => {
    const { runId } = await newRun(service, "qa", { repetitions: 2 });
    await service.runs.recordResults({
      runId,
      results: [1, 2].map((repetition) => success("q3", 1, { repetition })),
    });
    const all = await pages({ runId, pageSize });
    expect(all.flat().map(({ itemId }) => itemId)).toEqual(["q1", "q2", "q4", "q5"]);
    expect(all).toHaveLength(Math.ceil(4 / pageSize));
  });

  test("continues after the last page while others record", async () => {
    const { runId } = await newRun(service, "qa");
    const first = await list({ runId, pageSize: 2 });
    const results = ["q1", "q3"].map((itemId) => success(itemId, 1));
    await service.runs.recordResults({ runId, results });
    const second = await list({ runId, pageSize: 2, pageToken: first.nextPageToken });
    expect([...first.items, ...second.items].map(({ itemId }) => itemId)).toEqual(["q1", "q2", "q4", "q5"]);
  });

  test("keeps pages below the size limit of a message, items included", async () => {
    const large = "x".repeat(700_000);
    for (const itemId of ["a", "b", "c", "d", "e"]) {
      const items = [{ itemId, inputJson: JSON.stringify(large) }];
      await service.upserts.upsertItems({
        dataset: named("large"),
        items,
        options: { createIfMissing: true },
      });
    }
    const { runId } = await newRun(service, "large");
    const sizes = (await pages({ runId, view: IncompleteView.WITH_ITEM })).map((page) => page.length);
    expect(sizes).toEqual([4, 1]);
    expect((await pages({ runId })).map((page) => page.length)).toEqual([5]);
  });

  test("refuses malformed or missing fields, and tokens of another call", async () => {
    const { runId } = await newRun(service, "qa");
    const missing = `runs${"0".repeat(26)}`;
    const { nextPageToken } = await list({ runId, pageSize: 1 });
    const token = {
      code: "InvalidArgument",
      reason: "INVALID_PAGE_TOKEN",
      metadata: { field: "page_token" },
    };
    expect(
      await refusalOf(list({ runId, pageToken: nextPageToken, view: IncompleteView.WITH_ITEM })),
    ).toEqual(token);
    const other = await newRun(service, "qa");
    expect(await refusalOf(list({ runId: other.runId, pageToken: nextPageToken }))).toEqual(token);
    const results = await service.runs.listResults({ runId });
    expect(await refusalOf(list({ runId, pageToken: `${results.nextPageToken}x` }))).toEqual(token);
    expect(await refusalOf(list({ runId, pageSize: -1 }))).toEqual(invalid("page_size"));
    expect(await refusalOf(list({}))).toEqual(invalid("run_id"));
    expect(await refusalOf(list({ runId: missing }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missing },
    });
  });
});

describe("5,000 items, all but a few of them done, on tables without statistics", () => {
  const ids = Array.from({ length: 5000 }, (_, n) => `i${String(n).padStart(4, "0")}`);
  const open = ["i0000", "i1999", "i2000", "i4000", "i4999"];
  let single: TestDatabase;
  let runId: string;
  let wide: RunServiceUnderTest;
  beforeAll(async () => {
    // One connection, whose usage statistics are available at once.
    single = await newTestDatabase({ connections: 1 });
    wide = await runService(single.pool);
    for (const table of ["run_results", "item_revisions", "changesets"]) {
      await single.pool.query(`alter table ${table} set (autovacuum_enabled = off)`);
    }
    for (let from = 0; from < ids.length; from += 1000) {
      const items = ids.slice(from, from + 1000).map((itemId) => ({ itemId, inputJson: `"${itemId}"` }));
      await wide.upserts.upsertItems({ dataset: named("wide"), items, options: { createIfMissing: true } });
    }
    ({ runId } = await newRun(wide, "wide"));
    const done = ids.filter((id) => !open.includes(id)).map((id) => success(id, 1));
    for (let from = 0; from < done.length; from += 1000) {
      await wide.runs.recordResults({ runId, results: done.slice(from, from + 1000) });
    }
    await wide.runs.recordResults({ runId, results: [failed("i2000", "no")] });
  });
  afterAll(() => single.drop());

  test.each([1, 3, 5, 50])("finds the few at page size %i", async (pageSize) => {
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await wide.runs.listIncomplete({ runId, pageSize, pageToken });
      found.push(...page.items.map(({ itemId }) => itemId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual(open);
  });

  test("reads each item and result about once, twice if an item nearby is open", async () => {
    const rowsRead = async () => {
      await single.pool.query("select pg_stat_force_next_flush()");
      const { rows } = await single.pool.query<{ read: bigint }>(
        `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint as read
         from pg_stat_user_tables where relname in ('run_results', 'item_revisions')`,
      );
      return Number(rows[0]?.read);
    };
    const before = await rowsRead();
    await wide.runs.listIncomplete({ runId });
    const read = (await rowsRead()) - before;
    expect(read).toBeGreaterThan(9_000);
    expect(read).toBeLessThan(22_000);
  });
});
