import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ItemSchema } from "../../gen/itembank/v1/item_pb.js";
import { ResultView, type RunResult, RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
import type { StreamResultsResponse } from "../../gen/itembank/v1/run_service_pb.js";
import {
  collect,
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
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { unsetFields } from "../support/unset-fields.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  await mirror(service, "qa", questions(5));
  await mirror(service, "many", questions(1000));
});
afterAll(() => database.drop());

const sequences = (results: readonly { readonly sequence: bigint }[]) =>
  results.map(({ sequence }) => Number(sequence));

/** A success for the cell with this number, from 0, in a run on 1,000 items. */
const cell = (n: number, output: unknown) =>
  success(`q${(n % 1000) + 1}`, output, { repetition: Math.floor(n / 1000) + 1 });

/** Counts the connections that listen for changes on this database. */
async function listeners(): Promise<number> {
  const { rows } = await database.pool.query<{ count: bigint }>(
    "select count(*) from pg_stat_activity where datname = current_database() and query like 'listen %'",
  );
  return Number(rows[0]?.count);
}

/** Reads a stream in the background. */
function reading(stream: AsyncIterable<StreamResultsResponse>) {
  const frames: StreamResultsResponse["frame"][] = [];
  const over = (async () => {
    for await (const { frame } of stream) frames.push(frame);
  })();
  over.catch(() => undefined);
  const results = () => frames.flatMap((frame) => (frame.case === "batch" ? frame.value.results : []));
  return { frames, over, results };
}

describe("StreamResults", () => {
  test("streams current results in the order of their last change, then the end", async () => {
    const { runId } = await newRun(service, "qa");
    const s = [{ name: "s", value: 1 }];
    await service.runs.recordResults({
      runId,
      results: [success("q1", 1), failed("q2", "no"), success("q3", 1)],
    });
    await service.runs.recordResults({ runId, results: [success("q2", 2), success("q1", 1, { scores: s })] });
    const { results, end } = await collect(service, { runId });
    expect(results.map(({ itemId, sequence }) => [itemId, sequence])).toEqual([
      ["q3", 3n],
      ["q2", 4n],
      ["q1", 5n],
    ]);
    expect(end).toMatchObject({ throughSequence: 5n, run: { runId, state: Run_State.RUNNING } });
    expect(
      (await collect(service, { runId, afterSequence: 3n })).results.map(({ itemId }) => itemId),
    ).toEqual(["q2", "q1"]);
    const resumed = await collect(service, { runId, afterSequence: 5n });
    expect(resumed).toMatchObject({ results: [], end: { throughSequence: 5n } });
  });

  test("ends for a run without results", async () => {
    const { runId } = await newRun(service, "qa");
    expect(await collect(service, { runId })).toMatchObject({ results: [], end: { throughSequence: 0n } });
  });

  test("skips the sequence numbers of replaced results", async () => {
    const { runId } = await newRun(service, "qa");
    await service.runs.recordResults({ runId, results: [failed("q1", "a")] });
    await service.runs.recordResults({ runId, results: [failed("q1", "b")] });
    const { results, end } = await collect(service, { runId });
    expect(sequences(results)).toEqual([2]);
    expect(end.throughSequence).toBe(2n);
  });

  test("sends frames of at most 1,000 results and 3 MiB, with items if requested", async () => {
    const { runId } = await newRun(service, "many", { repetitions: 3 });
    for (let from = 0; from < 2500; from += 500) {
      const results = Array.from({ length: 500 }, (_, n) => cell(from + n, "x".repeat(4_000)));
      await service.runs.recordResults({ runId, results });
    }
    const stream = reading(service.runs.streamResults({ runId, view: ResultView.WITH_ITEM }));
    await stream.over;
    const sizes = stream.frames.map((frame) => (frame.case === "batch" ? frame.value.results.length : 0));
    expect(Math.max(...sizes)).toBeLessThan(1000);
    expect(sequences(stream.results())).toEqual(Array.from({ length: 2500 }, (_, n) => n + 1));
    expect(stream.results().every(({ itemId, item }) => item?.itemId === itemId)).toBe(true);
  });

  test.each([
    ["binary", false],
    ["JSON", true],
  ])("returns results of all kinds as ListResults returns them, in %s", async (_, json) => {
    const { runs } = await runService(database.pool, { json });
    const { runId } = await newRun(service, "many");
    const micros = (seconds: bigint, nanos = 0) => ({ seconds, nanos });
    const latest = micros(253_402_300_799n, 999_999_000);
    const results = [
      success("q1", "é😀\u0000", { traceId: "trace", retryCount: 3, latency: micros(0n) }),
      success("q2", "x".repeat(300), { startTime: micros(-62_135_596_800n), completeTime: latest }),
      success("q3", null, {
        startTime: micros(946_684_799n, 999_999_000),
        completeTime: micros(946_684_800n),
      }),
      success("q4", 4, {
        startTime: micros(0n),
        completeTime: micros(0n, 1_000),
        latency: micros(9_007_199_255n),
      }),
      success("q5", 5, { startTime: micros(9_953_884_054n, 740_991_000), latency: micros(315_576_000_000n) }),
      success("q6", 6, { usage: {} }),
      success("q7", 7, {
        usage: { inputTokens: 0n, outputTokens: 2n ** 63n - 1n, cost: 0, currencyCode: "EUR" },
      }),
      success("q8", 8, { usage: { inputTokens: 127n, outputTokens: 2n ** 53n + 1n, cost: 0.1 } }),
      success("q9", 9, {
        scores: [
          {
            name: "s",
            value: -0.5,
            explanation: "é",
            metadataJson: '{ "a": [1.0, null] }',
            startTime: latest,
          },
          { name: "t", label: "l", annotatorKind: 3, traceId: "t", completeTime: micros(1n) },
          { name: "u", error: "no" },
        ],
      }),
      success("q10", 10, { scores: [{ name: "s", value: 0, explanation: "y".repeat(5_000) }] }),
      success("q11", 11, { scores: [{ name: "s", value: 0 }] }),
      success("q12", 12, { scores: [{ name: "s", value: 0 }] }),
      failed("q13", "no", {
        outcome: { case: "error", value: { code: "c", message: "é\u0000", stack: "at" } },
      }),
      failed("q14", ""),
    ];
    await service.runs.recordResults({ runId, results });
    const { run: carrying } = await service.runs.createRun({
      dataset: named("many"),
      run: {},
      carryFromRunId: runId,
    });
    const streamed: RunResult[] = [];
    for (const id of [runId, carrying?.runId ?? ""]) {
      const request = { runId: id, view: ResultView.WITH_ITEM };
      const listed = (await service.runs.listResults({ ...request, pageSize: 100 })).results;
      const bySequence = listed.toSorted((one, other) => Number(one.sequence - other.sequence));
      const whole = await collect({ ...service, runs }, request);
      expect(whole.results).toEqual(bySequence);
      streamed.push(...whole.results);
      const [first] = (await collect({ ...service, runs }, { runId: id })).results;
      expect(first).toEqual({ ...bySequence[0], item: undefined });
    }
    // Both failures stay behind.
    expect(streamed).toHaveLength(2 * results.length - 2);
    expect(unsetFields(RunResultSchema, streamed, [ItemSchema])).toEqual([]);
  });

  test("two followers see every change while ten writers write, one of them on a stream that is cut and resumed", async () => {
    const { runId } = await newRun(service, "many", { repetitions: 3 });
    const whole = reading(service.runs.streamResults({ runId, follow: true }));

    const seen: number[] = [];
    let isEnded = false;
    const resuming = (async () => {
      while (!isEnded) {
        const cut = new AbortController();
        const afterSequence = BigInt(seen.at(-1) ?? 0);
        const request = { runId, follow: true, afterSequence };
        let frames = 0;
        for await (const { frame } of service.runs.streamResults(request, { signal: cut.signal })) {
          if (frame.case === "batch") seen.push(...sequences(frame.value.results));
          if (frame.case === "end") isEnded = true;
          if (++frames === 3 && !isEnded) {
            cut.abort();
            break;
          }
        }
      }
    })();

    await Promise.all(
      Array.from({ length: 10 }, async (_, writer) => {
        for (let n = writer; n < 600; n += 10) {
          await service.runs.recordResults({ runId, results: [cell(n, n)] });
        }
      }),
    );
    await service.runs.finishRun({ runId });
    await Promise.all([whole.over, resuming]);
    const all = Array.from({ length: 600 }, (_, n) => n + 1);
    expect(sequences(whole.results())).toEqual(all);
    expect(seen).toEqual(all);
    expect(whole.frames.at(-1)).toMatchObject({
      case: "end",
      value: { throughSequence: 600n, run: { state: Run_State.COMPLETED, counts: { succeeded: 600n } } },
    });
    await vi.waitFor(async () => expect(await listeners()).toBe(0));
  });

  test("a follower on another server is woken", async () => {
    const { runId } = await newRun(service, "qa");
    const other = await runService(database.pool, { heartbeatSeconds: 3600 });
    const stream = reading(other.runs.streamResults({ runId, follow: true }));
    await vi.waitFor(async () => expect(await listeners()).toBe(1));
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    await vi.waitFor(() => expect(sequences(stream.results())).toEqual([1]));
    await service.runs.cancelRun({ runId });
    await stream.over;
    expect(stream.frames.at(-1)).toMatchObject({
      case: "end",
      value: { run: { state: Run_State.CANCELLED } },
    });
  });

  test("fifty followers share one connection, which is restored when it breaks", async () => {
    const { runId } = await newRun(service, "qa");
    const other = await runService(database.pool, { heartbeatSeconds: 3600 });
    const streams = Array.from({ length: 50 }, () =>
      reading(other.runs.streamResults({ runId, follow: true })),
    );
    await vi.waitFor(async () => expect(await listeners()).toBe(1));
    await database.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen %'",
    );
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    await vi.waitFor(
      () => expect(streams.every((stream) => stream.results().length === 1)).toBe(true),
      10_000,
    );
    await service.runs.finishRun({ runId });
    await Promise.all(streams.map((stream) => stream.over));
    await vi.waitFor(async () => expect(await listeners()).toBe(0));
  });

  test("sends heartbeats with the sequence number that it has reached", async () => {
    const { runId } = await newRun(service, "qa");
    const hasty = await runService(database.pool, { heartbeatSeconds: 0.05 });
    await service.runs.recordResults({ runId, results: [success("q1", 1)] });
    const stream = reading(hasty.runs.streamResults({ runId, follow: true }));
    await vi.waitFor(() =>
      expect(stream.frames.filter((frame) => frame.case === "heartbeat").length).toBeGreaterThan(2),
    );
    expect(stream.frames[1]).toMatchObject({ case: "heartbeat", value: { throughSequence: 1n } });
    await service.runs.finishRun({ runId });
    await stream.over;
  });

  test("ends when the service stops or the client leaves, and leaves no connection behind", async () => {
    const { runId } = await newRun(service, "qa");
    const stopped = await runService(database.pool);
    const stopping = refusalOf(stopped.runs.streamResults({ runId, follow: true }));
    const leaving = new AbortController();
    const left = refusalOf(service.runs.streamResults({ runId, follow: true }, { signal: leaving.signal }));
    await vi.waitFor(async () => expect(await listeners()).toBe(2));
    stopped.stop();
    leaving.abort();
    expect(await stopping).toEqual({ code: "Unavailable", reason: "SHUTTING_DOWN", metadata: {} });
    expect((await left).code).toBe("Canceled");
    await vi.waitFor(async () => expect(await listeners()).toBe(0));
  });

  test("refuses malformed and unknown arguments", async () => {
    const { runId } = await newRun(service, "qa");
    const missing = `runs${"0".repeat(26)}`;
    expect(await refusalOf(service.runs.streamResults({ runId: missing }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missing },
    });
    expect(await refusalOf(service.runs.streamResults({ runId, afterSequence: -1n }))).toEqual(
      invalid("after_sequence"),
    );
    expect(await refusalOf(service.runs.streamResults({ runId, afterSequence: 1n }))).toEqual(
      invalid("after_sequence"),
    );
  });
});
