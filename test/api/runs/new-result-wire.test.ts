import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { RunResultSchema } from "../../../gen/itembank/v1/result_pb.js";
import { ResultScoreSchema } from "../../../gen/itembank/v1/run_service_pb.js";
import { lateScoresFromWire } from "../../../src/api/runs/late-score-wire.ts";
import { resultsFromWire } from "../../../src/api/runs/new-result-wire.ts";
import { limits } from "../../../src/limits.ts";

type ResultInit = MessageInitShape<typeof RunResultSchema>;

const good = { repetition: 1, outcome: { case: "outputJson", value: '"x"' } } as const satisfies ResultInit;
const wire = (init: ResultInit) => create(RunResultSchema, init);

describe("resultsFromWire", () => {
  test("reports the first fault of each bad result, in the order of the request", async () => {
    const second = { seconds: 1n };
    const bad: [field: string, init: ResultInit][] = [
      [".retry_count", { ...good, itemId: "a", retryCount: -1, traceId: "t".repeat(129) }],
      [".complete_time", { ...good, itemId: "b", startTime: { seconds: 2n }, completeTime: second }],
      [".item_id", good],
      [".error.code", { itemId: "c", outcome: { case: "error", value: { code: "c".repeat(65) } } }],
      [".latency", { ...good, itemId: "d", latency: { seconds: -1n } }],
      [".usage.cost", { ...good, itemId: "e", usage: { cost: -1 } }],
      [".usage.currency_code", { ...good, itemId: "f", usage: { currencyCode: "euro" } }],
      ["", { itemId: "g", repetition: 1 }],
      [".scores", { itemId: "h", outcome: { case: "error", value: {} }, scores: [{ name: "s", value: 1 }] }],
      [".output_json", { itemId: "i", outcome: { case: "outputJson", value: "{" } }],
      [".scores[1].name", { ...good, itemId: "j", scores: [score("s"), score("s")] }],
      [".scores[0]", { ...good, itemId: "k", scores: [{ name: "s" }] }],
      [".scores", { ...good, itemId: "l", scores: Array.from({ length: 101 }, (_, n) => score(`s${n}`)) }],
    ];
    const fields = bad.map(([field], index) => `results[${index}]${field}`);
    await expect(resultsFromWire(bad.map(([, init]) => wire(init)))).rejects.toMatchObject({
      reason: "INVALID_FIELD",
      message: "results[0].retry_count: must not be negative",
      facts: { field: "results[0].retry_count", violation_count: bad.length },
      violations: fields.map((field) => expect.objectContaining({ field })),
    });
  });

  test("counts all bad results and lists at most a hundred", async () => {
    const results = Array.from({ length: 150 }, (_, n) => wire({ ...good, itemId: `q${n}`, retryCount: -1 }));
    const thrown = expect.objectContaining({ facts: expect.objectContaining({ violation_count: 150 }) });
    const refused = resultsFromWire(results);
    await expect(refused).rejects.toEqual(thrown);
    await expect(refused).rejects.toHaveProperty("violations.length", 100);
  });

  test("names both results of one cell, unless cells may repeat", async () => {
    const twice = [wire({ ...good, itemId: "a" }), wire({ ...good, itemId: "a" })];
    const field = (index: number) => `frame[${index}].result`;
    await expect(resultsFromWire(twice, { field, repeatsCells: false })).rejects.toThrow(
      "frame[1].result: must not repeat the cell of frame[0].result",
    );
    await expect(resultsFromWire(twice, { field, repeatsCells: true })).resolves.toHaveLength(2);
  });

  test("reports the limit that a result exceeds, and where", async () => {
    const output = JSON.stringify("x".repeat(limits.maxItemBytes));
    const results = [wire({ itemId: "a", outcome: { case: "outputJson", value: output } })];
    await expect(resultsFromWire(results)).rejects.toMatchObject({
      reason: "LIMIT_EXCEEDED",
      facts: { limit: "max_item_bytes", received: output.length },
      violations: [{ field: "results[0].output_json" }],
    });
  });
});

function score(name: string) {
  return { name, value: 1 };
}

describe("lateScoresFromWire", () => {
  test("reports the first fault of each bad score", () => {
    const scores = [
      { resultId: "r" },
      { resultId: "", score: score("s") },
      { resultId: "r", score: score("s") },
      { resultId: "r", score: score("s") },
      { resultId: "r", score: { name: "t", value: Number.NaN } },
    ].map((init) => create(ResultScoreSchema, init));
    expect(() => lateScoresFromWire("scores", scores)).toThrow(
      expect.objectContaining({
        message: "scores[0].score: is required",
        violations: [
          { field: "scores[0].score", description: "is required" },
          { field: "scores[1].result_id", description: "is required" },
          {
            field: "scores[3].score.name",
            description: "must differ from that of scores[2], which has the same result_id",
          },
          { field: "scores[4].score.value", description: "must be finite" },
        ],
      }),
    );
  });
});
