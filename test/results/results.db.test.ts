import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AnnotatorKind, ResultView, type RunResult } from "../../gen/itembank/v1/result_pb.js";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
import { OutcomeFilter } from "../../gen/itembank/v1/run_service_pb.js";
import {
  failed,
  invalid,
  mirror,
  newRun,
  questions,
  type RunServiceUnderTest,
  refusalOf,
  runService,
  success,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  await mirror(service, "qa", questions(5));
});
afterAll(() => database.drop());

const missingRun = `runs${"0".repeat(26)}`;
type Record = Parameters<RunServiceUnderTest["runs"]["recordResults"]>[0];
const record = (request: Record) => service.runs.recordResults(request);
const countsOf = async (runId: string) => {
  const { run } = await service.runs.getRun({ runId });
  return [run?.counts?.expected, run?.counts?.succeeded, run?.counts?.failed, run?.counts?.missing];
};
const recorded = (created: number, replaced: number, unchanged: number) =>
  expect.objectContaining({
    created: BigInt(created),
    replaced: BigInt(replaced),
    unchanged: BigInt(unchanged),
  });

describe("RecordResults", () => {
  test("counts a result whose output was there and whose score was not as rescored, never as unchanged", async () => {
    const { runId } = await newRun(service, "qa");
    const scored = (itemId: string, value: number) => success(itemId, 1, { scores: [{ name: "s", value }] });
    const results = ["q1", "q2", "q3"].map((itemId) => scored(itemId, 1));
    await record({ runId, results });
    const again = await record({
      runId,
      results: [scored("q1", 1), scored("q2", 0), success("q3", 1, { scores: [{ name: "t", value: 1 }] })],
    });
    expect(again.counts).toMatchObject({ created: 0n, replaced: 0n, unchanged: 1n, rescored: 2n });
  });

  test("counts cells, and missing = 15 - succeeded - failed at any time", async () => {
    const { runId } = await newRun(service, "qa", { repetitions: 3 });
    expect(await countsOf(runId)).toEqual([15n, 0n, 0n, 15n]);
    await record({ runId, results: [success("q1", 1), failed("q1", "no", { repetition: 2 })] });
    expect(await countsOf(runId)).toEqual([15n, 1n, 1n, 13n]);
    await record({
      runId,
      results: [success("q1", 1, { repetition: 2 }), success("q5", 1, { repetition: 3 })],
    });
    expect(await countsOf(runId)).toEqual([15n, 3n, 0n, 12n]);
    const { run } = await service.runs.getRun({ runId });
    expect(run?.state).toBe(Run_State.RUNNING);
    expect(run?.startTime).toBeDefined();
  });

  test("replaces an error by an error and then by a success, which is final, and keeps every attempt", async () => {
    const { runId } = await newRun(service, "qa");
    const steps = [
      [failed("q1", "first"), recorded(1, 0, 0)],
      [failed("q1", "first"), recorded(0, 0, 1)],
      [failed("q1", "second"), recorded(0, 1, 0)],
      [success("q1", { a: 1, b: [1.5, "x"] }), recorded(0, 1, 0)],
      [success("q1", { a: 1, b: [1.5, "x"] }), recorded(0, 0, 1)],
    ] as const;
    const ids: string[] = [];
    for (const [result, counts] of steps) {
      const answer = await record({ runId, results: [result] });
      expect(answer.counts).toEqual(counts);
      ids.push(...answer.resultIds);
    }
    expect(ids[1]).toBe(ids[0]);
    expect(ids[4]).toBe(ids[3]);
    // A different spelling is the same output.
    const respelled = success("q1", 0, {
      outcome: { case: "outputJson", value: '{ "b": [15e-1, "\\u0078"], "a": 1.0 }' },
    });
    expect((await record({ runId, results: [respelled] })).resultIds).toEqual([ids[3]]);

    expect(await refusalOf(record({ runId, results: [success("q2", 1), success("q1", { a: 2 })] }))).toEqual({
      code: "AlreadyExists",
      reason: "RESULT_FINAL",
      metadata: { run_id: runId, index: "1", item_id: "q1", repetition: "1", result_id: ids[3] },
    });
    expect(await refusalOf(record({ runId, results: [failed("q1", "late")] }))).toMatchObject({
      reason: "RESULT_FINAL",
    });
    expect(await countsOf(runId)).toEqual([5n, 1n, 0n, 4n]);

    const overwritten = await record({ runId, results: [success("q1", { a: 2 })], overwrite: true });
    expect(overwritten.counts).toEqual(recorded(0, 1, 0));
    const { results } = await service.runs.listResults({ runId, includeReplaced: true });
    expect(results.map(({ attempt, outcome }) => [attempt, outcome.case, outcome.value])).toEqual([
      [1, "error", expect.objectContaining({ message: "first" })],
      [2, "error", expect.objectContaining({ message: "second" })],
      [3, "outputJson", '{"a":1,"b":[1.5,"x"]}'],
      [4, "outputJson", '{"a":2}'],
    ]);
    expect(results.map((result) => result.resultId)).toEqual([
      ids[0],
      ids[2],
      ids[3],
      overwritten.resultIds[0],
    ]);
  });

  test("overwriting a success with an error moves it from one count to the other", async () => {
    const { runId } = await newRun(service, "qa");
    await record({ runId, results: [success("q1", 1), success("q2", 1)] });
    await record({ runId, results: [failed("q1", "was wrong")], overwrite: true });
    expect(await countsOf(runId)).toEqual([5n, 1n, 1n, 3n]);
  });

  test.each([
    ["output", success("q1", 2)],
    ["latency", success("q1", 1, { latency: { seconds: 1n, nanos: 0 } })],
    ["retry_count", success("q1", 1, { retryCount: 1 })],
    ["trace_id", success("q1", 1, { traceId: "t" })],
    ["usage", success("q1", 1, { usage: { inputTokens: 0n } })],
    ["start_time", success("q1", 1, { startTime: { seconds: 1n, nanos: 0 } })],
  ])("a result that differs in %s is another one", async (_, other) => {
    const { runId } = await newRun(service, "qa");
    await record({ runId, results: [success("q1", 1)] });
    expect(await refusalOf(record({ runId, results: [other] }))).toMatchObject({ reason: "RESULT_FINAL" });
  });

  test.each([
    "null",
    "false",
    "0",
    '""',
    '"null"',
    "[]",
    "{}",
    '"\\u0000"',
    ' { "b" : 1.0 , "a":[] } ',
    '{"__proto__":1}',
  ])("the output %s is a success and reads back as it was sent", async (output) => {
    const { runId } = await newRun(service, "qa");
    const outcome = { case: "outputJson", value: output } as const;
    const { resultIds } = await record({ runId, results: [{ itemId: "q1", repetition: 1, outcome }] });
    expect(await countsOf(runId)).toEqual([5n, 1n, 0n, 4n]);
    const { result } = await service.runs.getResult({ resultId: resultIds[0] ?? "" });
    expect(result?.outcome).toMatchObject(outcome);
  });

  test("keeps every field of a result", async () => {
    const { runId } = await newRun(service, "qa");
    const time = (seconds: bigint, nanos: number) => ({ seconds, nanos });
    const sent = {
      repetition: 1,
      startTime: time(1_700_000_000n, 123_456_000),
      completeTime: time(1_700_000_001n, 0),
      latency: time(0n, 800_000_000),
      retryCount: 3,
      traceId: "trace",
      usage: { inputTokens: 0n, outputTokens: 9_007_199_254_740_993n, cost: 0.125, currencyCode: "EUR" },
    };
    const scores = [
      {
        name: "exact",
        value: -0.5,
        label: "good",
        explanation: "because \u0000",
        annotatorKind: AnnotatorKind.HUMAN,
        metadataJson: '{"b": [1.0, null], "a": {"\\u0000": "x"}}',
        traceId: "judge",
        startTime: time(1n, 1_000),
        completeTime: time(2n, 2_000),
      },
      { name: "word", label: "fine" },
      { name: "broken", error: "the judge failed", annotatorKind: AnnotatorKind.LLM },
    ];
    const error = { code: "TIMEOUT", message: "too \u0000 late", stack: "at …" };
    await record({
      runId,
      results: [
        { itemId: "q1", ...sent, scores, outcome: { case: "outputJson", value: "1" } },
        { itemId: "q2", ...sent, outcome: { case: "error", value: error } },
      ],
    });
    const { results } = await service.runs.listResults({ runId });
    expect(results[0]).toMatchObject({ ...sent, scores, itemVersion: 1n, attempt: 1, sequence: 1n });
    expect(results[0]?.scores[1]?.value).toBeUndefined();
    expect(results[1]).toMatchObject({ ...sent, outcome: { case: "error", value: error }, sequence: 2n });
  });

  test("takes the time from start to end for a latency that is left out", async () => {
    const { runId } = await newRun(service, "qa");
    const times = {
      startTime: { seconds: 10n, nanos: 0 },
      completeTime: { seconds: 11n, nanos: 500_000_000 },
    };
    await record({ runId, results: [success("q1", 1, times), success("q2", 1)] });
    const { results } = await service.runs.listResults({ runId });
    expect(results.map(({ latency }) => latency && [latency.seconds, latency.nanos])).toEqual([
      [1n, 500_000_000],
      undefined,
    ]);
  });

  test("keeps unknown usage apart from 0", async () => {
    const { runId } = await newRun(service, "qa");
    await record({
      runId,
      results: [success("q1", 1, { usage: { inputTokens: 0n } }), success("q2", 1, { usage: {} })],
    });
    const { results } = await service.runs.listResults({ runId });
    expect(results[0]?.usage?.inputTokens).toBe(0n);
    expect(results[0]?.usage?.outputTokens).toBeUndefined();
    expect(results[1]?.usage).toBeDefined();
    expect(results[1]?.usage?.cost).toBeUndefined();
  });

  test("writes nothing if one result is refused", async () => {
    const { runId } = await newRun(service, "qa");
    expect(await refusalOf(record({ runId, results: [success("q1", 1), success("nobody", 1)] }))).toEqual({
      code: "InvalidArgument",
      reason: "ITEM_NOT_IN_RUN",
      metadata: { run_id: runId, index: "1", item_id: "nobody", repetition: "1" },
    });
    expect(await countsOf(runId)).toEqual([5n, 0n, 0n, 5n]);
    expect((await service.runs.getRun({ runId })).run?.state).toBe(Run_State.PENDING);
  });

  test.each([0, 4, -1])("refuses repetition %i of 3", async (repetition) => {
    const { runId } = await newRun(service, "qa", { repetitions: 3 });
    expect(await refusalOf(record({ runId, results: [success("q1", 1, { repetition })] }))).toMatchObject({
      reason: "ITEM_NOT_IN_RUN",
      metadata: { index: "0", item_id: "q1", repetition: `${repetition}` },
    });
  });

  test("changes nothing without results, and does not start the run", async () => {
    const { runId } = await newRun(service, "qa");
    expect((await record({ runId, results: [] })).counts).toEqual(recorded(0, 0, 0));
    expect((await service.runs.getRun({ runId })).run?.state).toBe(Run_State.PENDING);
  });

  test.each([
    ["no outcome", { itemId: "q1", repetition: 1 }, "results[1]"],
    ["no item", success("", 1), "results[1].item_id"],
    ["one cell twice", success("q2", 2), "results[1]"],
    ["negative retries", success("q1", 1, { retryCount: -1 }), "results[1].retry_count"],
    ["negative latency", success("q1", 1, { latency: { seconds: -1n, nanos: 0 } }), "results[1].latency"],
    [
      "an end before the start",
      success("q1", 1, { startTime: { seconds: 2n, nanos: 0 }, completeTime: { seconds: 1n, nanos: 0 } }),
      "results[1].complete_time",
    ],
    ["a long trace", success("q1", 1, { traceId: "t".repeat(129) }), "results[1].trace_id"],
    ["negative tokens", success("q1", 1, { usage: { outputTokens: -1n } }), "results[1].usage.output_tokens"],
    [
      "an infinite cost",
      success("q1", 1, { usage: { cost: Number.POSITIVE_INFINITY } }),
      "results[1].usage.cost",
    ],
    [
      "an invalid currency code",
      success("q1", 1, { usage: { currencyCode: "euro" } }),
      "results[1].usage.currency_code",
    ],
    [
      "a long code",
      failed("q1", "", { outcome: { case: "error", value: { code: "c".repeat(65) } } }),
      "results[1].error.code",
    ],
    ["a long message", failed("q1", "m".repeat(16 * 1024 + 1)), "results[1].error.message"],
    ["a score of an error", failed("q1", "no", { scores: [{ name: "s", value: 1 }] }), "results[1].scores"],
    ["a score without a name", success("q1", 1, { scores: [{ value: 1 }] }), "results[1].scores[0].name"],
    ["an empty score", success("q1", 1, { scores: [{ name: "s" }] }), "results[1].scores[0]"],
    [
      "a score that is not a number",
      success("q1", 1, { scores: [{ name: "s", value: Number.NaN }] }),
      "results[1].scores[0].value",
    ],
    [
      "a score with a value and an error",
      success("q1", 1, { scores: [{ name: "s", value: 1, error: "no" }] }),
      "results[1].scores[0].error",
    ],
    [
      "two scores with one name",
      success("q1", 1, {
        scores: [
          { name: "s", value: 1 },
          { name: "s", label: "x" },
        ],
      }),
      "results[1].scores[1].name",
    ],
  ])("refuses a malformed result: %s", async (_, result, field) => {
    const { runId } = await newRun(service, "qa");
    expect(await refusalOf(record({ runId, results: [success("q2", 1), result] }))).toEqual(invalid(field));
  });

  test("refuses outputs that are not JSON, naming which and how many", async () => {
    const { runId } = await newRun(service, "qa");
    const outcome = { case: "outputJson", value: '{"n": 9007199254740993}' } as const;
    const results = [success("q1", 1), { itemId: "q2", repetition: 1, outcome }, failed("", "")];
    expect(await refusalOf(record({ runId, results }))).toMatchObject({
      code: "InvalidArgument",
      reason: "INVALID_JSON",
      metadata: { index: "1", item_id: "q2", problem: expect.any(String), violation_count: "2" },
    });
  });

  test("refuses requests beyond the limits", async () => {
    const { runId } = await newRun(service, "qa");
    const refused = async (request: Record) => refusalOf(record({ runId, ...request }));
    const beyond = (limit: string, maximum: number) => ({
      code: "InvalidArgument",
      reason: "LIMIT_EXCEEDED",
      metadata: expect.objectContaining({ limit, maximum: `${maximum}` }),
    });
    const mebibyte = 1024 * 1024;
    expect(await refused({ results: Array.from({ length: 1001 }, (_, n) => success(`q${n}`, 1)) })).toEqual(
      beyond("max_batch_size", 1000),
    );
    expect(await refused({ results: [success("q1", "x".repeat(mebibyte))] })).toEqual(
      beyond("max_item_bytes", mebibyte),
    );
    const large = "x".repeat(mebibyte - 2);
    expect(await refused({ results: [1, 2, 3, 4].map((n) => success(`q${n}`, large)) })).toEqual(
      beyond("max_batch_bytes", 3 * mebibyte),
    );
    const scores = Array.from({ length: 101 }, (_, n) => ({ name: `s${n}`, value: n }));
    expect(await refused({ results: [success("q1", 1, { scores })] })).toEqual(
      beyond("max_scores_per_result", 100),
    );
    const wordy = Array.from({ length: 70 }, (_, n) => ({
      name: `s${n}`,
      value: n,
      explanation: "x".repeat(16_000),
    }));
    expect(await refused({ results: [success("q1", large, { scores: wordy })] })).toEqual(
      beyond("max_result_bytes", 2 * mebibyte),
    );
  });

  test("refuses an unknown run", async () => {
    expect(await refusalOf(record({ runId: missingRun, results: [] }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missingRun },
    });
  });
});

describe("scores sent with results", () => {
  const scored = (value: number, name = "s") => success("q1", 1, { scores: [{ name, value }] });

  test("a result sent again brings new scores, keeps old ones and takes a new sequence number", async () => {
    const { runId } = await newRun(service, "qa");
    const [first] = (await record({ runId, results: [scored(1), success("q2", 1)] })).resultIds;
    expect((await record({ runId, results: [scored(1)] })).counts).toEqual(recorded(0, 0, 1));
    await record({ runId, results: [scored(2, "other")] });
    await record({ runId, results: [scored(3)] });
    const answer = await service.runs.getResult({ resultId: first ?? "" });
    expect(answer.result?.sequence).toBe(4n);
    expect(answer.result?.resultId).toBe(first);
    expect(answer.result?.scores.map(({ name, value }) => [name, value])).toEqual([
      ["s", 3],
      ["other", 2],
    ]);
    expect(answer.replacedScores.map(({ name, value }) => [name, value])).toEqual([["s", 1]]);
    expect(answer.replaced).toBe(false);
    expect((await service.runs.getRun({ runId })).run?.counts?.succeeded).toBe(2n);
  });

  test("a result that replaces another begins without scores", async () => {
    const { runId } = await newRun(service, "qa");
    const [first] = (await record({ runId, results: [scored(1)] })).resultIds;
    const [second] = (await record({ runId, results: [success("q1", 2)], overwrite: true })).resultIds;
    expect((await service.runs.getResult({ resultId: second ?? "" })).result?.scores).toEqual([]);
    const old = await service.runs.getResult({ resultId: first ?? "" });
    expect(old.replaced).toBe(true);
    expect(old.result?.scores).toHaveLength(1);
  });

  test("returns the last 20 replaced scores, newest first", async () => {
    const { runId } = await newRun(service, "qa");
    for (let value = 0; value <= 25; value++) await record({ runId, results: [scored(value)] });
    const { results } = await service.runs.listResults({ runId });
    const { replacedScores } = await service.runs.getResult({ resultId: results[0]?.resultId ?? "" });
    expect(replacedScores.map(({ value }) => value)).toEqual(Array.from({ length: 20 }, (_, n) => 24 - n));
  });

  test("accumulated scores stay within the limits of a result", async () => {
    const { runId } = await newRun(service, "qa");
    const batch = (from: number) =>
      Array.from({ length: 60 }, (_, n) => ({ name: `s${from + n}`, value: n }));
    await record({ runId, results: [success("q1", 1, { scores: batch(0) })] });
    expect(
      await refusalOf(record({ runId, results: [success("q1", 1, { scores: batch(60) })] })),
    ).toMatchObject({
      reason: "LIMIT_EXCEEDED",
      metadata: { limit: "max_scores_per_result", received: "120" },
    });
  });
});

describe("GetResult", () => {
  test("returns the item as of the version of the run, if requested", async () => {
    await mirror(service, "pinned", { a: "before" });
    const { runId } = await newRun(service, "pinned");
    await mirror(service, "pinned", { a: "after" });
    const [resultId = ""] = (await record({ runId, results: [success("a", 1)] })).resultIds;
    const { result } = await service.runs.getResult({ resultId, view: ResultView.WITH_ITEM });
    expect(result).toMatchObject({
      runId,
      itemVersion: 1n,
      item: { itemId: "a", inputJson: '"before"', version: 1n },
    });
    expect((await service.runs.getResult({ resultId })).result?.item).toBeUndefined();
  });

  test.each(["x", `rslt${"0".repeat(26)}`, `rslt${"0".repeat(25)}z`])(
    "refuses the unknown id %j",
    async (resultId) => {
      expect(await refusalOf(service.runs.getResult({ resultId }))).toEqual({
        code: "NotFound",
        reason: "RESULT_NOT_FOUND",
        metadata: { result_id: resultId },
      });
    },
  );

  test("refuses a request without an id", async () => {
    expect(await refusalOf(service.runs.getResult({}))).toEqual(invalid("result_id"));
  });
});

describe("ListResults", () => {
  let runId: string;
  let all: RunResult[];
  beforeAll(async () => {
    ({ runId } = await newRun(service, "qa", { repetitions: 2 }));
    const s = (value: number) => [{ name: "s", value }];
    await record({
      runId,
      results: [failed("q2", "1st"), success("q3", 1, { repetition: 2, scores: s(1) })],
    });
    await record({
      runId,
      results: [failed("q2", "2nd"), success("q1", 1, { scores: [{ name: "s", error: "no" }] })],
    });
    await record({ runId, results: [success("q2", 1, { repetition: 2 }), failed("q5", "no")] });
    all = (await service.runs.listResults({ runId, includeReplaced: true })).results;
  });
  const listed = async (filter: object) =>
    (await service.runs.listResults({ runId, ...filter })).results.map(
      (r) => `${r.itemId}/${r.repetition}/${r.attempt}`,
    );

  test("lists current results by item, repetition and attempt, and replaced ones on request", async () => {
    expect(await listed({})).toEqual(["q1/1/1", "q2/1/2", "q2/2/1", "q3/2/1", "q5/1/1"]);
    expect(await listed({ includeReplaced: true })).toEqual([
      "q1/1/1",
      "q2/1/1",
      "q2/1/2",
      "q2/2/1",
      "q3/2/1",
      "q5/1/1",
    ]);
  });

  test("lists the results that pass all filters", async () => {
    expect(await listed({ itemId: "q2" })).toEqual(["q2/1/2", "q2/2/1"]);
    expect(await listed({ outcome: OutcomeFilter.FAILED })).toEqual(["q2/1/2", "q5/1/1"]);
    expect(await listed({ outcome: OutcomeFilter.FAILED, itemId: "q2", includeReplaced: true })).toEqual([
      "q2/1/1",
      "q2/1/2",
    ]);
    expect(await listed({ outcome: OutcomeFilter.SUCCEEDED })).toEqual(["q1/1/1", "q2/2/1", "q3/2/1"]);
    expect(await listed({ outcome: OutcomeFilter.SUCCEEDED, itemId: "q2", includeReplaced: true })).toEqual([
      "q2/2/1",
    ]);
    expect(await listed({ outcome: OutcomeFilter.ANY, includeReplaced: true })).toEqual(
      await listed({ includeReplaced: true }),
    );
    expect(await listed({ missingScores: ["s"] })).toEqual(["q1/1/1", "q2/2/1"]);
    expect(await listed({ missingScores: ["s", "t"] })).toEqual(["q1/1/1", "q2/2/1", "q3/2/1"]);
    expect(await listed({ missingScores: ["s"], outcome: OutcomeFilter.FAILED })).toEqual([]);
  });

  test.each([1, 2, 5, 6, 7])("lists every result once, page by page, at page size %i", async (pageSize) => {
    for (const includeReplaced of [true, false]) {
      const seen: RunResult[] = [];
      let pageToken = "";
      do {
        const page = await service.runs.listResults({ runId, includeReplaced, pageSize, pageToken });
        seen.push(...page.results);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      const wanted = (await service.runs.listResults({ runId, includeReplaced })).results;
      expect(seen).toEqual(wanted);
    }
    expect(all).toHaveLength(6);
  });

  test("keeps pages below the size limit of a message, items included", async () => {
    const large = "x".repeat(700_000);
    await mirror(service, "large", { a: large, b: large, c: large });
    const run = await newRun(service, "large");
    for (const itemId of ["a", "b", "c"])
      await record({ runId: run.runId, results: [success(itemId, large)] });
    const page = async (view: ResultView) => {
      const { results, nextPageToken } = await service.runs.listResults({ runId: run.runId, view });
      return [results.length, nextPageToken !== ""];
    };
    expect(await page(ResultView.BASIC)).toEqual([3, false]);
    expect(await page(ResultView.WITH_ITEM)).toEqual([2, true]);
  });

  test("refuses malformed and unknown arguments, and page tokens of another call", async () => {
    const list = (request: object) => refusalOf(service.runs.listResults({ runId, ...request }));
    const { nextPageToken } = await service.runs.listResults({ runId, pageSize: 1 });
    expect(await list({ pageToken: nextPageToken, outcome: OutcomeFilter.FAILED })).toEqual({
      code: "InvalidArgument",
      reason: "INVALID_PAGE_TOKEN",
      metadata: { field: "page_token" },
    });
    expect(await list({ runId: missingRun })).toMatchObject({ code: "NotFound", reason: "RUN_NOT_FOUND" });
    expect(await list({ pageSize: -1 })).toEqual(invalid("page_size"));
    expect(await list({ outcome: 4 })).toEqual(invalid("outcome"));
    expect(await list({ view: 3 })).toEqual(invalid("view"));
    expect(await list({ itemId: "a\nb" })).toEqual(invalid("item_id"));
    expect(await list({ missingScores: [""] })).toEqual(invalid("missing_scores[0]"));
    expect(await list({ runId: "" })).toEqual(invalid("run_id"));
  });
});
