import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DatasetVersionSchema, ItemSchema, RunResultSchema } from "../../clients/typescript/src/contract.ts";
import { jsonPath } from "../../clients/typescript/src/json/json-path.ts";
import { arrayElements } from "../../src/cli/json-elements.ts";
import { int64Json, messageJson } from "../../src/cli/json-output.ts";
import { segmentsOf, valueAt } from "../../src/cli/printing/json-place.ts";
import { table } from "../../src/cli/printing/table.ts";
import { newTerminal } from "../../src/cli/printing/terminal.ts";
import { clipped, oneLine } from "../../src/cli/printing/text.ts";
import { duration } from "../../src/cli/printing/transfer-progress.ts";
import { resumableName } from "../../src/cli/write-name.ts";

describe("messages as JSON", () => {
  test("keep the spelling of payloads, on one line", () => {
    const item = create(ItemSchema, {
      itemId: "a\u0007",
      inputJson: '{"b":1.0,\n "a":"x\\ny"}',
      version: 3n,
    });
    expect(messageJson(ItemSchema, item)).toBe(
      '{"item_id":"a\\u0007","input":{"b":1.0,  "a":"x\\ny"},"splits":[],"content_hash":"","version":3,"purged":false}',
    );
  });

  test("leave out unset fields, and distinguish null from absent", () => {
    const json = (expectedOutputJson?: string) =>
      JSON.parse(
        messageJson(
          ItemSchema,
          create(ItemSchema, { inputJson: "1", ...(expectedOutputJson && { expectedOutputJson }) }),
        ),
      );
    expect(json()).not.toHaveProperty("expected_output");
    expect(json("null")).toHaveProperty("expected_output", null);
  });

  test("have enum names, seconds, times, hexadecimal bytes, and the set member of a oneof", () => {
    const version = create(DatasetVersionSchema, {
      digest: new Uint8Array([1, 255]),
      createTime: { seconds: 1n, nanos: 5000 },
    });
    expect(JSON.parse(messageJson(DatasetVersionSchema, version))).toMatchObject({
      digest: "01ff",
      create_time: "1970-01-01T00:00:01.000005Z",
    });
    const result = create(RunResultSchema, {
      latency: { seconds: 1n, nanos: 250_000_000 },
      outcome: { case: "error", value: { code: "X" } },
      scores: [{ name: "s", annotatorKind: 2 }],
    });
    const json = JSON.parse(messageJson(RunResultSchema, result));
    expect(json).toMatchObject({ latency: 1.25, error: { code: "X" }, scores: [{ annotator_kind: "CODE" }] });
    expect(json).not.toHaveProperty("output");
    expect(json.scores[0]).not.toHaveProperty("value");
  });

  test("have 64-bit integers as numbers where those are exact, else as strings", () => {
    expect([2n ** 53n - 1n, 2n ** 53n, -(2n ** 53n)].map(int64Json)).toEqual([
      "9007199254740991",
      '"9007199254740992"',
      '"-9007199254740992"',
    ]);
  });
});

describe("an array of JSON", () => {
  test("is split into its elements, whatever they are", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (values) => {
        const texts = values.map((value) => JSON.stringify(value));
        expect(arrayElements(`[${texts.join(" , ")}]`)).toEqual(texts);
      }),
    );
  });
});

describe("a path of the contract", () => {
  test("leads to its value, whatever the names of members", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.nat(5)), { maxLength: 5 }), (steps) => {
        const parts = steps.reduceRight<unknown>(
          (value, step) =>
            typeof step === "number"
              ? Array.from({ length: step + 1 }, () => value)
              : Object.fromEntries([[step, value]]),
          "there",
        );
        const path = jsonPath("$", steps);
        expect(segmentsOf(path)).toEqual(steps);
        expect(valueAt(parts, path)).toBe("there");
      }),
    );
  });

  test("leads to undefined where there is no value", () => {
    expect(valueAt({ a: [1] }, "$.a[1].b")).toBeUndefined();
    expect(valueAt({}, "$.constructor")).toBeUndefined();
    expect(valueAt({ a: 1 }, "$['a")).toBeUndefined();
  });
});

describe("texts for people", () => {
  test("contain nothing that a terminal interprets", () => {
    expect(oneLine("a\r\nb\tc\u001b[31m\u009b\u202e")).toBe("a↵b c·[31m··");
  });

  test("are clipped by columns, not characters", () => {
    expect(clipped("解説モデル", 10)).toBe("解説モデル");
    expect(clipped("解説モデルx", 10)).toBe("解説モデ…");
    expect(clipped("abcdef", 4)).toBe("abc…");
  });

  test("shrink in a table to make room for columns that do not", () => {
    const { colors } = newTerminal(process.stdout, { NO_COLOR: "1" }, "");
    const drawn = table(
      { colors, width: 40 },
      [{ title: "id", align: "left" }, { title: "text", align: "left", shrinks: true }, { title: "n" }],
      [["a-long-identifier", "x".repeat(40), "1,000"]],
    );
    expect(drawn.split("\n").map((line) => line.length)).toEqual([40, 40]);
  });

  test("have durations in the units that matter", () => {
    expect([400, 59_000, 130_000, 3_900_000].map(duration)).toEqual([
      "1 s",
      "59 s",
      "2 min 10 s",
      "1 h 5 min",
    ]);
  });
});

describe("the name of a write", () => {
  test("is the same for equal parts, until that write is over", async () => {
    const never = async () => false;
    const first = await resumableName(["a", "b"], never);
    expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(await resumableName(["a", "b"], never)).toBe(first);
    expect(await resumableName(["ab", ""], never)).not.toBe(first);
    const second = await resumableName(["a", "b"], async (name) => name === first);
    expect(second).not.toBe(first);
    expect(await resumableName(["a", "b"], async () => true)).not.toBe(
      await resumableName(["a", "b"], async () => true),
    );
  });
});
