import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AnnotatorKind } from "../../gen/itembank/v1/result_pb.js";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
import {
  collect,
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
import { refused } from "../support/refusal.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  await mirror(service, "qa", questions(5));
});
afterAll(() => database.drop());

type Request = Parameters<RunServiceUnderTest["runs"]["recordScores"]>[0];
type ScoreInit = NonNullable<NonNullable<Request["scores"]>[number]["score"]>;

const judge = (request: Request) => service.runs.recordScores(request);
const resultOf = async (resultId: string) => service.runs.getResult({ resultId });
const counts = (created: number, replaced: number, unchanged: number) => ({
  created: BigInt(created),
  replaced: BigInt(replaced),
  unchanged: BigInt(unchanged),
});

/** A run with a success for q1, q2 and q3, and their ids. */
async function judgedRun() {
  const { runId } = await newRun(service, "qa");
  const results = ["q1", "q2", "q3"].map((itemId) => success(itemId, itemId));
  const [first = "", second = "", third = ""] = (await service.runs.recordResults({ runId, results }))
    .resultIds;
  const of = (resultId: string, score: ScoreInit) => ({ resultId, score });
  return { runId, first, second, third, of };
}

describe("RecordScores", () => {
  test("adds scores, replaces those of the same name, and counts them one by one", async () => {
    const { runId, first, second, of } = await judgedRun();
    const a = { name: "a", value: 1 };
    const b = { name: "b", label: "good" };
    const added = await judge({ runId, scores: [of(first, a), of(second, a), of(first, b)] });
    expect(added.counts).toMatchObject(counts(3, 0, 0));
    const again = await judge({
      runId,
      scores: [of(first, a), of(second, { name: "a", value: 2 }), of(second, b)],
    });
    expect(again.counts).toMatchObject(counts(1, 1, 1));

    expect((await resultOf(first)).result?.scores).toMatchObject([a, b]);
    const answer = await resultOf(second);
    expect(answer.result?.scores).toMatchObject([{ name: "a", value: 2 }, b]);
    expect(answer.replacedScores).toMatchObject([a]);
    expect(answer.replaced).toBe(false);
  });

  test("keeps every field of a score, metadata included, also after it is replaced", async () => {
    const { runId, first, of } = await judgedRun();
    const score = {
      name: "exact",
      value: -0.5,
      label: "good",
      explanation: "because \u0000",
      annotatorKind: AnnotatorKind.HUMAN,
      metadataJson: '{"b": [1.0, null], "a": {"\\u0000": "x"}}',
      traceId: "judge",
      startTime: { seconds: 1n, nanos: 1_000 },
      completeTime: { seconds: 2n, nanos: 2_000 },
    };
    await judge({ runId, scores: [of(first, score)] });
    const [recorded] = (await resultOf(first)).result?.scores ?? [];
    expect(recorded).toMatchObject(score);
    expect(recorded?.createTime).toBeDefined();
    const respelled = { ...score, metadataJson: '{"a":{"\\u0000":"x"},"b":[1,null]}' };
    expect((await judge({ runId, scores: [of(first, respelled)] })).counts).toMatchObject(counts(0, 0, 1));

    await judge({ runId, scores: [of(first, { name: "exact", value: 1 })] });
    expect((await resultOf(first)).replacedScores).toEqual([recorded]);
  });

  test.each([
    ["value", { value: 2 }],
    ["label", { label: "other" }],
    ["explanation", { explanation: "other" }],
    ["annotator_kind", { annotatorKind: AnnotatorKind.CODE }],
    ["metadata_json", { metadataJson: "{}" }],
    ["trace_id", { traceId: "other" }],
    ["start_time", { startTime: { seconds: 1n, nanos: 0 } }],
  ])("a score that differs in %s is another one", async (_, other) => {
    const { runId, first, of } = await judgedRun();
    await judge({ runId, scores: [of(first, { name: "s", value: 1 })] });
    const answer = await judge({ runId, scores: [of(first, { name: "s", value: 1, ...other })] });
    expect(answer.counts).toMatchObject(counts(0, 1, 0));
  });

  test("records that an evaluator failed; the result stays a success without a judgement", async () => {
    const { runId, first, second, of } = await judgedRun();
    const broken = { name: "s", error: "no answer", annotatorKind: AnnotatorKind.LLM };
    await judge({ runId, scores: [of(first, broken), of(second, { name: "s", value: 0 })] });
    const left = async () =>
      (await service.runs.listResults({ runId, missingScores: ["s"] })).results.map(({ itemId }) => itemId);
    expect(await left()).toEqual(["q1", "q3"]);
    expect((await resultOf(first)).result?.scores).toMatchObject([broken]);
    expect((await service.runs.getRun({ runId })).run?.counts).toMatchObject({ succeeded: 3n, failed: 0n });
    await judge({ runId, scores: [of(first, { name: "s", value: 1 })] });
    expect(await left()).toEqual(["q3"]);
    expect((await resultOf(first)).replacedScores).toMatchObject([broken]);
  });

  test("assigns one new sequence number to each result that changes, and to no other", async () => {
    const { runId, first, second, third, of } = await judgedRun();
    const s = { name: "s", value: 1 };
    await judge({ runId, scores: [of(third, s), of(first, s), of(third, { name: "t", value: 1 })] });
    const { results, end } = await collect(service, { runId, afterSequence: 0n });
    expect(results.map(({ resultId, sequence }) => [resultId, sequence])).toEqual([
      [second, 2n],
      [third, 4n],
      [first, 5n],
    ]);
    expect(end.throughSequence).toBe(5n);
    // Identical scores move nothing.
    await judge({ runId, scores: [of(first, s)] });
    expect((await collect(service, { runId, afterSequence: 5n })).results).toEqual([]);
    // A result that has moved is found, and moves again.
    await judge({ runId, scores: [of(third, { name: "s", value: 2 })] });
    expect((await resultOf(third)).result).toMatchObject({ sequence: 6n, resultId: third });
  });

  test("a follower of an open run sees results again when they are scored", async () => {
    const { runId, second, of } = await judgedRun();
    const seen: [string, number][] = [];
    for await (const { frame } of service.runs.streamResults({ runId, follow: true })) {
      if (frame.case !== "batch") continue;
      for (const { itemId, scores } of frame.value.results) seen.push([itemId, scores.length]);
      if (seen.length === 3) await judge({ runId, scores: [of(second, { name: "s", value: 1 })] });
      if (seen.length === 4) await service.runs.finishRun({ runId });
    }
    expect(seen).toEqual([
      ["q1", 0],
      ["q2", 0],
      ["q3", 0],
      ["q2", 1],
    ]);
  });

  test.each([
    ["completed", Run_State.COMPLETED, (runId: string) => service.runs.finishRun({ runId })],
    ["failed", Run_State.FAILED, (runId: string) => service.runs.finishRun({ runId, failureMessage: "x" })],
    ["cancelled", Run_State.CANCELLED, (runId: string) => service.runs.cancelRun({ runId })],
  ])(
    "scores results of a run that ended as %s; later streams return them, with and without follow",
    async (_, state, end) => {
      const { runId, first, of } = await judgedRun();
      await end(runId);
      const { run: ended } = await service.runs.getRun({ runId });
      const { end: before } = await collect(service, { runId, follow: true });
      await judge({ runId, scores: [of(first, { name: "s", value: 1 })] });
      const { run } = await service.runs.getRun({ runId });
      expect(run).toEqual(ended);
      expect(run?.state).toBe(state);
      for (const follow of [true, false]) {
        const after = await collect(service, { runId, follow, afterSequence: before.throughSequence });
        expect(after.results).toMatchObject([
          { resultId: first, scores: [{ name: "s", value: 1 }], sequence: 4n },
        ]);
        expect(after.end.throughSequence).toBe(4n);
      }
    },
  );

  test("changes nothing without scores, but requires the run to exist", async () => {
    const { runId } = await newRun(service, "qa");
    expect((await judge({ runId, scores: [] })).counts).toMatchObject(counts(0, 0, 0));
    expect((await service.runs.getRun({ runId })).run?.state).toBe(Run_State.PENDING);
  });
});

describe("RecordScores refuses", () => {
  const s = { name: "s", value: 1 };

  test("a result that was replaced: RESULT_SUPERSEDED names the current one, and nothing is written", async () => {
    const { runId, first, second, of } = await judgedRun();
    const overwriting = { runId, results: [success("q2", "other")], overwrite: true };
    const [current = ""] = (await service.runs.recordResults(overwriting)).resultIds;
    expect(await refusalOf(judge({ runId, scores: [of(first, s), of(second, s)] }))).toEqual({
      code: "FailedPrecondition",
      reason: "RESULT_SUPERSEDED",
      metadata: { result_id: second, current_result_id: current },
    });
    expect((await resultOf(first)).result?.scores).toEqual([]);
    expect((await resultOf(first)).result?.sequence).toBe(1n);
    expect((await judge({ runId, scores: [of(current, s)] })).counts?.created).toBe(1n);
  });

  test("an unknown result, one of another run, or a malformed id: RESULT_NOT_FOUND", async () => {
    const { runId, first, of } = await judgedRun();
    const elsewhere = await judgedRun();
    const unused = first.slice(0, -1) + String(Number(first.at(-1)) + 5);
    for (const resultId of [elsewhere.first, unused, "x", `rslt${"0".repeat(26)}`]) {
      expect(await refusalOf(judge({ runId, scores: [of(first, s), of(resultId, s)] }))).toEqual({
        code: "NotFound",
        reason: "RESULT_NOT_FOUND",
        metadata: { result_id: resultId },
      });
    }
    expect((await resultOf(first)).result?.scores).toEqual([]);
  });

  test("an error, since only a success can be judged", async () => {
    const { runId, of } = await judgedRun();
    const [id = ""] = (await service.runs.recordResults({ runId, results: [failed("q4", "no")] })).resultIds;
    expect(await refusalOf(judge({ runId, scores: [of(id, s)] }))).toEqual(invalid("scores[0].result_id"));
  });

  test("an unknown run", async () => {
    const missing = `runs${"0".repeat(26)}`;
    expect(await refusalOf(judge({ runId: missing, scores: [] }))).toEqual({
      code: "NotFound",
      reason: "RUN_NOT_FOUND",
      metadata: { run_id: missing },
    });
    expect(await refusalOf(judge({ scores: [] }))).toEqual(invalid("run_id"));
  });

  test.each([
    ["no score", undefined, "scores[1].score"],
    ["no name", { value: 1 }, "scores[1].score.name"],
    ["a long name", { name: "n".repeat(129), value: 1 }, "scores[1].score.name"],
    ["no content", { name: "t" }, "scores[1].score"],
    ["a value that is not a number", { name: "t", value: Number.NaN }, "scores[1].score.value"],
    ["a value and an error", { name: "t", value: 1, error: "no" }, "scores[1].score.error"],
    ["a long label", { name: "t", label: "l".repeat(257) }, "scores[1].score.label"],
    [
      "a long explanation",
      { name: "t", value: 1, explanation: "x".repeat(16_385) },
      "scores[1].score.explanation",
    ],
    ["an unknown annotator", { name: "t", value: 1, annotatorKind: 9 }, "scores[1].score.annotator_kind"],
    [
      "large metadata",
      { name: "t", value: 1, metadataJson: `{"x":"${"x".repeat(16_384)}"}` },
      "scores[1].score.metadata_json",
    ],
    ["a long trace", { name: "t", value: 1, traceId: "t".repeat(129) }, "scores[1].score.trace_id"],
    [
      "an end before the start",
      { name: "t", value: 1, startTime: { seconds: 2n }, completeTime: { seconds: 1n } },
      "scores[1].score.complete_time",
    ],
    ["one name twice for one result", s, "scores[1].score.name"],
  ])("a malformed score: %s", async (_, score, field) => {
    const { runId, first, of } = await judgedRun();
    const scores = [of(first, s), { resultId: first, ...(score && { score: score as ScoreInit }) }];
    expect(await refusalOf(judge({ runId, scores }))).toEqual(invalid(field));
    expect(await refusalOf(judge({ runId, scores: [of("", s)] }))).toEqual(invalid("scores[0].result_id"));
    expect((await resultOf(first)).result?.scores).toEqual([]);
  });

  test("more than the limits allow", async () => {
    const { runId, first, second, of } = await judgedRun();
    const named = (count: number, more: ScoreInit = {}) =>
      Array.from({ length: count }, (_, n) => of(first, { name: `s${n}`, value: n, ...more }));
    expect(await refusalOf(judge({ runId, scores: named(1001) }))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", {
        limit: "max_batch_size",
        maximum: "1000",
        received: "1001",
      }),
    );
    expect(await refusalOf(judge({ runId, scores: [of(second, s), ...named(101)] }))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_scores_per_result", received: "101" }),
    );
    expect((await resultOf(second)).result?.scores).toEqual([]);

    // The texts that a result has already count as well.
    const wordy = { explanation: "x".repeat(16_000), error: "", label: "l" };
    await judge({ runId, scores: named(70, wordy) });
    const more = named(70, {
      ...wordy,
      explanation: "y".repeat(16_000),
      metadataJson: `{"m":"${"z".repeat(16_000)}"}`,
    });
    expect(await refusalOf(judge({ runId, scores: more }))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_result_bytes", maximum: "2097152" }),
    );
    expect((await judge({ runId, scores: named(70, wordy) })).counts).toMatchObject(counts(0, 0, 70));
  });
});

describe("concurrent judges", () => {
  test("keep each score of one result, 100 at once: the last is current, and sequence numbers have no gaps", async () => {
    const { runId, first, of } = await judgedRun();
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, value) => judge({ runId, scores: [of(first, { name: "s", value })] })),
    );
    expect(answers.filter((answer) => answer.counts?.created === 1n)).toHaveLength(1);
    expect(answers.filter((answer) => answer.counts?.replaced === 1n)).toHaveLength(99);
    expect((await resultOf(first)).result).toMatchObject({ sequence: 103n, scores: [{ name: "s" }] });
    const { rows } = await database.pool.query<{ value: string }>(
      "select score::json ->> 'value' as value from replaced_scores where run_id = $1",
      [runId],
    );
    const current = (await resultOf(first)).result?.scores[0]?.value;
    const values = [...rows.map((row) => Number(row.value)), current];
    expect(new Set(values)).toEqual(new Set(Array.from({ length: 100 }, (_, n) => n)));
  });

  test("race with an overwrite of the result, 50 at once: each is recorded before or refused as superseded", async () => {
    const { runId, first, of } = await judgedRun();
    const judging = async (n: number) =>
      judge({ runId, scores: [of(first, { name: `s${n}`, value: n })] }).then(
        () => "recorded",
        async (error: unknown) => (await refusalOf(Promise.reject(error))).reason,
      );
    const early = Array.from({ length: 25 }, (_, n) => judging(n));
    const overwritten = service.runs.recordResults({
      runId,
      results: [success("q1", "new")],
      overwrite: true,
    });
    const late = Array.from({ length: 25 }, (_, n) => judging(25 + n));
    const outcomes = await Promise.all([...early, ...late]);
    await overwritten;
    const recorded = outcomes.filter((outcome) => outcome === "recorded").length;
    expect(outcomes.filter((outcome) => outcome === "RESULT_SUPERSEDED")).toHaveLength(50 - recorded);
    expect((await resultOf(first)).result?.scores).toHaveLength(recorded);
    expect((await resultOf(first)).replaced).toBe(true);
  });
});
