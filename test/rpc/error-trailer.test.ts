import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type ErrorTexts, fitIntoTrailer } from "../../src/rpc/error-trailer.ts";

/** Bytes on the wire of an error, as Connect and `error-message.ts` encode it: grpc-message and grpc-status-details-bin. */
function wireBytes({ message, facts, violations }: ReturnType<typeof fitIntoTrailer>): number {
  const details = [
    anyPack(
      ErrorInfoSchema,
      create(ErrorInfoSchema, {
        reason: "ERROR_REASON_INVALID_JSON",
        domain: "itembank.dev",
        metadata: facts,
      }),
    ),
    anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: violations })),
  ];
  const detailBytes = details.reduce(
    (sum, { value, typeUrl }) => sum + value.length + typeUrl.length + 12,
    0,
  );
  const percent = message.replace(/[^ -$&-~]+/gu, encodeURIComponent);
  return percent.length + Math.ceil(((Buffer.byteLength(message) + detailBytes + 8) * 4) / 3);
}

const alphabets = [
  ["ASCII", "x"],
  ["Cyrillic", "ж"],
  ["CJK", "漢"],
  ["emoji", "😀"],
  ["percent signs", "%"],
] as const;

describe("the texts of an error", () => {
  test.each(alphabets)("fit into 6 KiB in %s, and keep facts before the message", (_, character) => {
    const long = character.repeat(10_000);
    const texts: ErrorTexts = {
      message: long,
      facts: { path: long, problem: long, item_id: long, index: 17n },
      violations: Array.from({ length: 100 }, () => ({ field: long, description: long })),
    };
    const short = fitIntoTrailer(texts);
    expect(wireBytes(short)).toBeLessThanOrEqual(6 * 1024);
    expect(short.facts.index).toBe("17");
    expect(short.facts.problem?.length).toBeGreaterThanOrEqual(30);
    expect(short.violations.length).toBeGreaterThan(0);
    expect(short.message).not.toBe("");
  });

  test("fit whatever they are", () => {
    const text = fc.string({ unit: "binary", maxLength: 2_000 });
    fc.assert(
      fc.property(
        text,
        fc.dictionary(fc.constantFrom("path", "problem", "item_id", "field", "names"), text),
        fc.array(fc.record({ field: text, description: text }), { maxLength: 120 }),
        (message, facts, violations) => {
          const short = fitIntoTrailer({ message, facts, violations });
          expect(wireBytes(short)).toBeLessThanOrEqual(6 * 1024);
          expect(short.violations.length).toBeGreaterThanOrEqual(Math.min(violations.length, 1));
          expect(Object.keys(short.facts)).toEqual(Object.keys(facts));
        },
      ),
    );
  });

  test("stay as they are where they are short", () => {
    const texts = {
      message: "$.a: unexpected character at position 3",
      facts: { path: "$.a", problem: "unexpected character at position 3" },
      violations: [{ field: "items[0].input_json", description: "$.a: unexpected character at position 3" }],
    };
    expect(fitIntoTrailer(texts)).toEqual(texts);
  });

  test("end with an ellipsis where they were cut, and never within a character", () => {
    const { message } = fitIntoTrailer({ message: "😀".repeat(5_000), facts: {}, violations: [] });
    expect(message.endsWith("…")).toBe(true);
    expect(message.isWellFormed()).toBe(true);
  });
});
