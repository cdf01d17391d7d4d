import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { item, named, type QueryServiceUnderTest, startQueryService } from "./query-service.ts";

let service: QueryServiceUnderTest;
let runId = "";

const seconds = (count: number) => ({ seconds: BigInt(count), nanos: 0 });

beforeAll(async () => {
  service = await startQueryService();
  await service.mirror("questions", [
    item("a", { level: "easy" }),
    item("b", { level: "hard" }),
    item("c", { level: "hard" }),
  ]);
  const { run } = await service.runs.createRun({
    dataset: named("questions"),
    run: { name: "one", repetitions: 2 },
  });
  runId = run?.runId ?? "";
  await service.runs.recordResults({
    runId,
    results: [
      {
        itemId: "a",
        repetition: 1,
        outcome: { case: "outputJson", value: '{"answer": 1.0}' },
        startTime: { seconds: 1_700_000_000n, nanos: 500_000_000 },
        completeTime: { seconds: 1_700_000_002n, nanos: 0 },
        retryCount: 3,
        traceId: "t1",
        usage: { inputTokens: 10n, outputTokens: 20n, cost: 0.1 },
        scores: [
          { name: "correct", value: 1 },
          { name: "style", label: "good" },
          { name: "safety", error: "no judge" },
        ],
      },
      {
        itemId: "b",
        repetition: 1,
        outcome: { case: "error", value: { code: "TIMEOUT", message: "too \u0000 slow" } },
      },
      { itemId: "b", repetition: 2, outcome: { case: "outputJson", value: "null" }, latency: seconds(1) },
    ],
  });
});

afterAll(() => service.close());

const table = () => `runs."${runId}"`;

describe("a table of a run", () => {
  test("has the current results with all their fields", async () => {
    const { columns, texts, end } = await service.query(
      `select * from ${table()} order by item_id, repetition`,
    );
    expect(columns).toEqual([
      "item_id VARCHAR",
      "item_version BIGINT",
      "repetition INTEGER",
      "attempt INTEGER",
      "output JSON",
      "error_code VARCHAR",
      "error_message VARCHAR",
      "latency_ms DOUBLE",
      "retry_count INTEGER",
      "start_time TIMESTAMP WITH TIME ZONE",
      "complete_time TIMESTAMP WITH TIME ZONE",
      "trace_id VARCHAR",
      "input_tokens BIGINT",
      "output_tokens BIGINT",
      "cost DOUBLE",
      "scores MAP(VARCHAR, DOUBLE)",
    ]);
    expect(texts.join("")).toBe(
      '[["a",1,1,1,{"answer": 1.0},null,null,1500,3,"2023-11-14T22:13:20.500Z","2023-11-14T22:13:22Z","t1",10,20,0.1,{"correct":1,"style":null}],' +
        '["b",1,1,1,null,"TIMEOUT","too \\u0000 slow",null,0,null,null,null,null,null,null,{}],' +
        '["b",1,2,1,null,null,null,1000,0,null,null,null,null,null,null,{}]]',
    );
    expect(end.tables).toMatchObject([{ table: `runs.${runId}`, runId, datasetId: "", version: 0n }]);
  });

  test("joins with its items", async () => {
    const rows = await service.rows(
      `select level, count(*) as results, avg(scores['correct']) as correct
       from ${table()} join datasets."questions@1" using (item_id) group by level order by level`,
    );
    expect(rows).toEqual([
      ["easy", 1, 1],
      ["hard", 2, null],
    ]);
  });

  test("follows recording, scoring and deleting", async () => {
    const count = async () =>
      (await service.rows(`select count(*), max(attempt), sum(scores['late']) from ${table()}`))[0];
    expect(await count()).toEqual([3, 1, null]);
    await service.runs.recordResults({
      runId,
      results: [
        { itemId: "b", repetition: 1, outcome: { case: "outputJson", value: "2" } },
        { itemId: "c", repetition: 1, outcome: { case: "outputJson", value: "3" } },
      ],
    });
    expect(await count()).toEqual([4, 2, null]);
    const { results } = await service.runs.listResults({ runId, itemId: "c" });
    await service.runs.recordScores({
      runId,
      scores: [{ resultId: results[0]?.resultId ?? "", score: { name: "late", value: 0.5 } }],
    });
    expect(await count()).toEqual([4, 2, 0.5]);
    await service.runs.deleteResults({ runId, cells: [{ itemId: "c", repetition: 1 }] });
    expect(await count()).toEqual([3, 2, null]);
  });

  test("forgets purged items", async () => {
    await service.mirror("private", [item("p", 1)]);
    const { run } = await service.runs.createRun({ dataset: named("private"), run: { name: "two" } });
    const id = run?.runId ?? "";
    await service.runs.recordResults({
      runId: id,
      results: [{ itemId: "p", repetition: 1, outcome: { case: "outputJson", value: '"a secret"' } }],
    });
    const output = `select output from runs."${id}"`;
    expect(await service.rows(output)).toEqual([["a secret"]]);
    await service.items.purgeItem({ dataset: named("private"), itemId: "p" });
    expect(await service.rows(output)).toEqual([[null]]);
  });

  test("of no results still has its columns", async () => {
    const { run } = await service.runs.createRun({ dataset: named("questions"), run: { name: "three" } });
    const { columns, rows } = await service.query(`select * from runs."${run?.runId}"`);
    expect(columns).toHaveLength(16);
    expect(rows).toEqual([]);
  });

  test("is gone with its run", async () => {
    const { run } = await service.runs.createRun({ dataset: named("questions"), run: { name: "four" } });
    const sql = `select * from runs."${run?.runId}"`;
    await service.query(sql);
    await service.runs.deleteRun({ runId: run?.runId ?? "" });
    await expect(service.query(sql)).rejects.toThrow(/there is no table/);
  });
});
