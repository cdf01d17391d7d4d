import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
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
let datasetId: string;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  ({ datasetId } = await mirror(service, "qa", questions(5)));
});
afterAll(() => database.drop());

const missingRun = `runs${"0".repeat(26)}`;

describe("CreateRun", () => {
  test("pins the latest version and counts the cells of the run", async () => {
    const run = await newRun(service, "qa", { repetitions: 3, targetId: "gpt-5", targetType: "model" });
    expect(run).toMatchObject({
      datasetId,
      datasetVersion: 1n,
      repetitions: 3,
      name: "gpt-5 on qa",
      state: Run_State.PENDING,
      counts: { expected: 15n, succeeded: 0n, failed: 0n, missing: 15n, itemCount: 5n, carried: 0n },
    });
    expect(run.runId).toMatch(/^runs[0-9a-z]{26}$/);
    expect(run.startTime).toBeUndefined();
    expect(run.completeTime).toBeUndefined();
    expect((await service.runs.getRun({ runId: run.runId })).run).toEqual(run);
  });

  test("takes 0 repetitions as 1, and keeps the other fields", async () => {
    const run = await newRun(service, "qa", {
      name: "mine",
      description: "why",
      metadataJson: '{"b": 1.0, "a": {"\\u0000": [null, "x"]}}',
      labels: ["second", "first", "second"],
    });
    expect(run).toMatchObject({
      repetitions: 1,
      name: "mine",
      description: "why",
      metadataJson: '{"b": 1.0, "a": {"\\u0000": [null, "x"]}}',
      labels: ["first", "second"],
    });
  });

  test("stays pinned to its version despite later writes, and may pin an earlier one", async () => {
    await mirror(service, "moving", { a: "1", b: "2" });
    const early = await newRun(service, "moving");
    await mirror(service, "moving", { a: "1", c: "3", d: "4" });
    const late = await newRun(service, "moving");
    const { run: pinned } = await service.runs.createRun({
      dataset: named("moving"),
      at: { by: { case: "version", value: 1n } },
      run: {},
    });
    expect([early, late, pinned].map((run) => [run?.datasetVersion, run?.counts?.itemCount])).toEqual([
      [1n, 2n],
      [2n, 3n],
      [1n, 2n],
    ]);
    await service.runs.recordResults({ runId: early.runId, results: [success("b", 1)] });
    expect(
      await refusalOf(service.runs.recordResults({ runId: late.runId, results: [success("b", 1)] })),
    ).toMatchObject({
      reason: "ITEM_NOT_IN_RUN",
    });
  });

  test("covers the items in any of its splits", async () => {
    await mirror(service, "split", {
      a: { input: 1, splits: ["train"] },
      b: { input: 2, splits: ["test", "hard"] },
      c: { input: 3, splits: ["test"] },
      d: { input: 4 },
    });
    const run = await newRun(service, "split", { splits: ["test", "hard", "test"], repetitions: 2 });
    expect(run.splits).toEqual(["hard", "test"]);
    expect(run.counts).toMatchObject({ itemCount: 2n, expected: 4n });
    await service.runs.recordResults({ runId: run.runId, results: [success("b", 1), success("c", 1)] });
    expect(
      await refusalOf(service.runs.recordResults({ runId: run.runId, results: [success("a", 1)] })),
    ).toEqual({
      code: "InvalidArgument",
      reason: "ITEM_NOT_IN_RUN",
      metadata: { run_id: run.runId, index: "0", item_id: "a", repetition: "1" },
    });
  });

  test("refuses a version without items to cover", async () => {
    const { datasetId: id } = await mirror(service, "empties", questions(1));
    const at = { by: { case: "version", value: 0n } } as const;
    expect(await refusalOf(service.runs.createRun({ dataset: named("empties"), at, run: {} }))).toEqual({
      code: "FailedPrecondition",
      reason: "EMPTY_RUN",
      metadata: { dataset_id: id, version: "0" },
    });
    expect(
      await refusalOf(service.runs.createRun({ dataset: named("empties"), run: { splits: ["none"] } })),
    ).toMatchObject({ reason: "EMPTY_RUN", metadata: { version: "1" } });
  });

  test("moves a label from the run that had it, in one step", async () => {
    const first = await newRun(service, "qa", { labels: ["champion", "kept"] });
    const second = await newRun(service, "qa", { labels: ["champion"] });
    const { run } = await service.runs.getRun({ runId: first.runId });
    expect(run?.labels).toEqual(["kept"]);
    expect(run?.etag).toBe(first.etag);
    expect(second.labels).toEqual(["champion"]);
    await mirror(service, "elsewhere", questions(1));
    await newRun(service, "elsewhere", { labels: ["champion"] });
    expect((await service.runs.getRun({ runId: second.runId })).run?.labels).toEqual(["champion"]);
  });

  test("20 runs at once with the same labels leave each label on exactly one", async () => {
    const labels = ["l1", "l2", "l3"];
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        newRun(service, "qa", { labels: n % 2 ? labels : labels.toReversed() }),
      ),
    );
    for (const label of labels) {
      expect((await service.runs.listRuns({ dataset: named("qa"), label })).runs).toHaveLength(1);
    }
  });

  test("creates one run for one request_id, sent twenty times at once and again later", async () => {
    const request = { dataset: named("qa"), run: { name: "once" }, requestId: randomUUID() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => service.runs.createRun(request)));
    expect(new Set(answers.map(({ run }) => run?.runId)).size).toBe(1);
    await service.runs.finishRun({ runId: answers[0]?.run?.runId ?? "" });
    expect(await service.runs.createRun(request)).toEqual(answers[0]);
    expect(await refusalOf(service.runs.createRun({ ...request, run: { name: "other" } }))).toEqual({
      code: "InvalidArgument",
      reason: "REQUEST_ID_REUSED",
      metadata: { request_id: request.requestId },
    });
  });

  test.each([
    ["dataset", { run: {} }, "dataset"],
    ["run", { dataset: named("qa") }, "run"],
    ["name", { dataset: named("qa"), run: { name: "n".repeat(129) } }, "run.name"],
    ["description", { dataset: named("qa"), run: { description: "d".repeat(4097) } }, "run.description"],
    ["target_type", { dataset: named("qa"), run: { targetType: "t".repeat(65) } }, "run.target_type"],
    ["target_id", { dataset: named("qa"), run: { targetId: "\u0000" } }, "run.target_id"],
    ["repetitions", { dataset: named("qa"), run: { repetitions: -1 } }, "run.repetitions"],
    ["labels", { dataset: named("qa"), run: { labels: ["1st"] } }, "run.labels"],
    [
      "too many labels",
      { dataset: named("qa"), run: { labels: Array.from("abcdefghijklmnopq") } },
      "run.labels",
    ],
    ["splits", { dataset: named("qa"), run: { splits: [""] } }, "run.splits"],
    [
      "metadata",
      { dataset: named("qa"), run: { metadataJson: `{"a":"${"x".repeat(70_000)}"}` } },
      "run.metadata_json",
    ],
    ["request_id", { dataset: named("qa"), run: {}, requestId: "1" }, "request_id"],
  ])("refuses a malformed request: %s", async (_, request, field) => {
    expect(await refusalOf(service.runs.createRun(request))).toEqual(invalid(field));
  });

  test("refuses unknown entities, and values beyond the limits", async () => {
    const create = (request: Parameters<typeof service.runs.createRun>[0]) =>
      refusalOf(service.runs.createRun(request));
    expect(await create({ dataset: named("none"), run: {} })).toEqual({
      code: "NotFound",
      reason: "DATASET_NOT_FOUND",
      metadata: { name: "none" },
    });
    const at = (version: bigint) => ({ by: { case: "version", value: version } }) as const;
    expect(await create({ dataset: named("qa"), at: at(2n), run: {} })).toEqual({
      code: "NotFound",
      reason: "VERSION_NOT_FOUND",
      metadata: { dataset_id: datasetId, version: "2", latest_version: "1" },
    });
    expect(await create({ dataset: named("qa"), at: at(-1n), run: {} })).toMatchObject({
      reason: "VERSION_NOT_FOUND",
    });
    expect(
      await create({ dataset: named("qa"), at: { by: { case: "tag", value: "prod" } }, run: {} }),
    ).toEqual({
      code: "NotFound",
      reason: "TAG_NOT_FOUND",
      metadata: { dataset_id: datasetId, tag: "prod" },
    });
    expect(await create({ dataset: named("qa"), run: { repetitions: 1001 } })).toEqual({
      code: "InvalidArgument",
      reason: "LIMIT_EXCEEDED",
      metadata: { limit: "max_repetitions", maximum: "1000", received: "1001" },
    });
  });
});

describe("GetRun", () => {
  test("refuses an unknown id", async () => {
    expect(await refusalOf(service.runs.getRun({ runId: missingRun }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missingRun },
    });
    expect(await refusalOf(service.runs.getRun({}))).toEqual(invalid("run_id"));
  });
});

describe("ListRuns", () => {
  let ids: string[];
  beforeAll(async () => {
    await mirror(service, "listed", questions(2));
    ids = [];
    for (let n = 0; n < 6; n++) {
      if (n === 3) await mirror(service, "listed", questions(3));
      ids.unshift(
        (await newRun(service, "listed", { targetId: n % 2 ? "odd" : "even", labels: [`n${n}`] })).runId,
      );
    }
    await service.runs.cancelRun({ runId: ids[0] ?? "" });
  });
  const listed = async (filter: object) =>
    (await service.runs.listRuns({ dataset: named("listed"), ...filter })).runs.map((run) => run.runId);

  test("lists the newest first", async () => {
    expect(await listed({})).toEqual(ids);
    expect((await service.runs.listRuns({})).runs.slice(0, 6).map((run) => run.runId)).toEqual(ids);
  });

  test("lists only runs that match all filters", async () => {
    expect(await listed({ datasetVersion: 1n })).toEqual(ids.slice(3));
    expect(await listed({ states: [Run_State.CANCELLED] })).toEqual(ids.slice(0, 1));
    expect(await listed({ states: [Run_State.PENDING, Run_State.CANCELLED] })).toEqual(ids);
    expect(await listed({ states: [Run_State.RUNNING] })).toEqual([]);
    expect(await listed({ label: "n4" })).toEqual([ids[1]]);
    expect(await listed({ targetId: "odd" })).toEqual([ids[0], ids[2], ids[4]]);
    expect(await listed({ targetId: "odd", datasetVersion: 1n })).toEqual([ids[4]]);
  });

  test.each([1, 4, 5, 6, 7])("returns every run once, page by page, at page size %i", async (pageSize) => {
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await service.runs.listRuns({ dataset: named("listed"), pageSize, pageToken });
      seen.push(...page.runs.map((run) => run.runId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(ids);
  });

  test("keeps pages below the size limit of a message", async () => {
    await mirror(service, "wordy", questions(1));
    for (let n = 0; n < 60; n++) {
      await newRun(service, "wordy", { metadataJson: `{"text":"${"x".repeat(60_000)}"}` });
    }
    const first = await service.runs.listRuns({ dataset: named("wordy"), pageSize: 1000 });
    expect(first.runs.length).toBeLessThan(60);
    const pageToken = first.nextPageToken;
    const second = await service.runs.listRuns({ dataset: named("wordy"), pageSize: 1000, pageToken });
    expect(first.runs.length + second.runs.length).toBe(60);
  });

  test("refuses malformed or missing fields, and tokens of another call", async () => {
    const { nextPageToken } = await service.runs.listRuns({ dataset: named("listed"), pageSize: 1 });
    const list = (request: Parameters<typeof service.runs.listRuns>[0]) =>
      refusalOf(service.runs.listRuns(request));
    expect(await list({ dataset: named("qa"), pageToken: nextPageToken })).toEqual({
      code: "InvalidArgument",
      reason: "INVALID_PAGE_TOKEN",
      metadata: { field: "page_token" },
    });
    expect(await list({ dataset: named("none") })).toMatchObject({ reason: "DATASET_NOT_FOUND" });
    expect(await list({ datasetVersion: -1n })).toEqual(invalid("dataset_version"));
    expect(await list({ states: [Run_State.UNSPECIFIED] })).toEqual(invalid("states[0]"));
    expect(await list({ pageSize: -1 })).toEqual(invalid("page_size"));
  });
});

describe("FinishRun", () => {
  const recorded = async (successes: number, failures: number) => {
    const { runId } = await newRun(service, "qa");
    const results = Array.from({ length: successes + failures }, (_, n) =>
      n < successes ? success(`q${n + 1}`, n) : failed(`q${n + 1}`, "no"),
    );
    await service.runs.recordResults({ runId, results });
    return runId;
  };

  test.each([
    ["all succeeded", 5, 0, {}, Run_State.COMPLETED],
    ["some failed or are missing", 1, 1, {}, Run_State.COMPLETED],
    ["just enough succeeded", 4, 0, { minSuccessRatio: 0.8 }, Run_State.COMPLETED],
    ["missing cells count against the ratio", 4, 0, { minSuccessRatio: 0.81 }, Run_State.FAILED],
    ["nothing succeeded", 0, 5, {}, Run_State.FAILED],
    ["nothing was recorded", 0, 0, {}, Run_State.FAILED],
    ["the caller says so", 5, 0, { failureMessage: "out of money" }, Run_State.FAILED],
  ])("ends the run: %s", async (_, successes, failures, terms, state) => {
    const runId = await recorded(successes, failures);
    const { run } = await service.runs.finishRun({ runId, ...terms });
    expect(run).toMatchObject({ state, failureMessage: "", ...("failureMessage" in terms ? terms : {}) });
    expect(run?.completeTime).toBeDefined();
    expect(run?.startTime).toBeDefined();
    expect(run?.counts).toMatchObject({ expected: 5n, missing: BigInt(5 - successes - failures) });
  });

  test("returns the same answer again, regardless of the arguments", async () => {
    const runId = await recorded(1, 0);
    const first = await service.runs.finishRun({ runId });
    expect(await service.runs.finishRun({ runId, failureMessage: "too late" })).toEqual(first);
  });

  test("refuses a cancelled run, an invalid ratio, and an unknown run", async () => {
    const runId = await recorded(1, 0);
    const { run } = await service.runs.cancelRun({ runId });
    expect(run?.state).toBe(Run_State.CANCELLED);
    expect(await service.runs.cancelRun({ runId })).toEqual({
      ...(await service.runs.cancelRun({ runId })),
      run,
    });
    expect(await refusalOf(service.runs.finishRun({ runId }))).toEqual({
      code: "FailedPrecondition",
      reason: "RUN_ENDED",
      metadata: { run_id: runId, state: "STATE_CANCELLED" },
    });
    expect(await refusalOf(service.runs.finishRun({ runId, minSuccessRatio: 1.1 }))).toEqual(
      invalid("min_success_ratio"),
    );
    expect(await refusalOf(service.runs.finishRun({ runId, minSuccessRatio: Number.NaN }))).toEqual(
      invalid("min_success_ratio"),
    );
    expect(await refusalOf(service.runs.finishRun({ runId: missingRun }))).toMatchObject({
      reason: "RUN_NOT_FOUND",
    });
  });
});

describe("CancelRun", () => {
  test("keeps the results, and refuses more", async () => {
    const { runId } = await newRun(service, "qa");
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    await service.runs.cancelRun({ runId });
    expect((await service.runs.listResults({ runId })).results).toHaveLength(1);
    expect(await refusalOf(service.runs.recordResults({ runId, results: [success("q2", 1)] }))).toEqual({
      code: "FailedPrecondition",
      reason: "RUN_ENDED",
      metadata: { run_id: runId, state: "STATE_CANCELLED" },
    });
  });

  test("refuses a run that ended otherwise, and an unknown one", async () => {
    const { runId } = await newRun(service, "qa");
    await service.runs.finishRun({ runId });
    expect(await refusalOf(service.runs.cancelRun({ runId }))).toMatchObject({
      reason: "RUN_ENDED",
      metadata: { run_id: runId, state: "STATE_FAILED" },
    });
    expect(await refusalOf(service.runs.cancelRun({ runId: missingRun }))).toMatchObject({
      reason: "RUN_NOT_FOUND",
    });
  });
});
