import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RunResultSchema, type ScoreSchema } from "../../gen/itembank/v1/result_pb.js";
import { Run_State, RunSchema } from "../../gen/itembank/v1/run_pb.js";
import { formatSummary } from "../../src/experiment/format-summary.ts";
import { SummaryBuilder } from "../../src/experiment/summary.ts";

type Scores = MessageInitShape<typeof ScoreSchema>[];

const success = (milliseconds: number, scores: Scores) =>
  create(RunResultSchema, {
    outcome: { case: "outputJson", value: "1" },
    latency: { seconds: BigInt(Math.floor(milliseconds / 1000)), nanos: (milliseconds % 1000) * 1e6 },
    scores,
  });
const failure = (code: string, message: string) =>
  create(RunResultSchema, { outcome: { case: "error", value: { code, message } } });

const run = (expected: number) =>
  create(RunSchema, {
    runId: "runs1",
    name: "reader on capitals",
    datasetId: "data1",
    datasetVersion: 3n,
    state: Run_State.COMPLETED,
    counts: { expected: BigInt(expected) },
  });

describe("a summary", () => {
  test("counts every result", () => {
    const builder = new SummaryBuilder();
    for (const result of [
      success(100, [
        { name: "correct", value: 1 },
        { name: "tone", label: "kind" },
      ]),
      success(200, [
        { name: "correct", value: 0 },
        { name: "tone", label: "kind" },
      ]),
      success(300, [
        { name: "correct", error: "no judge\nat all" },
        { name: "tone", label: "rude", value: 0.5 },
      ]),
      success(1500, [{ name: "correct", error: "later" }]),
      failure("TIMEOUT", "no answer within 1000 ms"),
      failure("TIMEOUT", "no answer within 1000 ms"),
      failure("", "something\nelse"),
    ]) {
      builder.add(result);
    }
    const summary = builder.ofRun(run(1_200));
    expect(summary).toEqual({
      runId: "runs1",
      name: "reader on capitals",
      datasetId: "data1",
      version: 3,
      state: "COMPLETED",
      expected: 1_200,
      succeeded: 4,
      failed: 3,
      missing: 1_193,
      scores: [
        {
          name: "correct",
          n: 2,
          mean: 0.5,
          labelled: 0,
          labels: {},
          failed: 2,
          unscored: 0,
          firstError: "no judge\nat all",
        },
        {
          name: "tone",
          n: 1,
          mean: 0.5,
          labelled: 2,
          labels: { kind: 2, rude: 1 },
          failed: 0,
          unscored: 1,
          firstError: undefined,
        },
      ],
      failures: [
        { code: "TIMEOUT", count: 2, example: "no answer within 1000 ms" },
        { code: "", count: 1, example: "something\nelse" },
      ],
      latencyMs: { mean: 525, p50: 200, p95: 1500 },
    });
    expect(formatSummary(summary)).toBe(
      [
        "COMPLETED  reader on capitals on data1 version 3  (runs1)",
        "cells      1,200 = 4 succeeded + 3 failed + 1,193 missing",
        "latency    p50 200 ms, p95 1500 ms",
        "correct    0.5  n 2 of 4, 2 evaluators failed: no judge at all",
        "tone       0.5  n 1 of 4, kind 2, rude 1, 1 not scored",
        "TIMEOUT    2 ×  no answer within 1000 ms",
        "failed     1 ×  something else",
      ].join("\n"),
    );
  });

  test("without results has no mean", () => {
    const summary = new SummaryBuilder().ofDryRun("data1", 1, "", 5);
    expect(summary).toMatchObject({
      state: "DRY_RUN",
      expected: 5,
      missing: 5,
      scores: [],
      latencyMs: undefined,
    });
    expect(formatSummary(summary)).toBe(
      "DRY_RUN  run on data1 version 1\ncells    5 = 0 succeeded + 0 failed + 5 missing",
    );
  });

  test("always adds up", () => {
    const score = fc.constantFrom<Scores[number]>(
      { value: 1 },
      { label: "a" },
      { error: "x" },
      { value: 0, label: "b" },
    );
    const result = fc.oneof(
      fc
        .option(score, { nil: undefined })
        .map((one) => success(5, one ? [{ ...one, name: "s" } as Scores[number]] : [])),
      fc.constantFrom("A", "B").map((code) => failure(code, "m")),
    );
    fc.assert(
      fc.property(fc.array(result), fc.nat(10), (results, missing) => {
        const builder = new SummaryBuilder();
        for (const one of results) builder.add(one);
        const summary = builder.ofRun(run(results.length + missing));
        expect(summary.succeeded + summary.failed + summary.missing).toBe(summary.expected);
        expect(summary.missing).toBe(missing);
        expect(summary.failures.reduce((sum, { count }) => sum + count, 0)).toBe(summary.failed);
        for (const { n, labelled, failed, unscored } of summary.scores) {
          expect(n + labelled + failed + unscored).toBe(summary.succeeded);
        }
      }),
    );
  });
});
