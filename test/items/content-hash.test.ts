import { describe, expect, test } from "vitest";
import { contentHash } from "../../src/items/content-hash.ts";
import type { ItemContent } from "../../src/items/item.ts";
import { JsonProblem } from "../../src/json/canonical-json.ts";
import { contentOf, vectors } from "../vectors/content-hash.ts";

const inputAlone = (input: string): ItemContent => ({
  input,
  expectedOutput: undefined,
  metadata: undefined,
});

describe("contentHash", () => {
  test("returns the hash in the contract's example", () => {
    const content = { input: '{"q":"2+2?"}', expectedOutput: '"4"', metadata: undefined };
    expect(contentHash(content).toString("hex")).toBe(
      "b40d637f2214d3567d3c2af64abb232a99725aaf8e846a46a7e9918c6fc2cafd",
    );
  });

  test.each(vectors.valid)("hashes the vector: $name", (vector) => {
    expect(contentHash(contentOf(vector)).toString("hex")).toBe(vector.content_hash);
  });

  test.each(vectors.equal)(
    "returns the same hash for all spellings: $name",
    ({ input_json, content_hash }) => {
      for (const input of input_json) {
        expect(contentHash(inputAlone(input)).toString("hex")).toBe(content_hash);
      }
    },
  );

  test.each(vectors.invalid)("refuses the vector: $name", (vector) => {
    const { path, problem } = vector;
    expect(() => contentHash(contentOf(vector))).toThrow(expect.objectContaining({ path, problem }));
  });

  test("distinguishes an absent expected output from null, and absent metadata from an empty object", () => {
    const hashes = [undefined, "null"].flatMap((expectedOutput) =>
      [undefined, "{}"].map((metadata) =>
        contentHash({ input: "1", expectedOutput, metadata }).toString("hex"),
      ),
    );
    expect(new Set(hashes).size).toBe(4);
  });

  test("hashes correctly after an item that was refused", () => {
    const content = inputAlone('{"b":1,"a":[2]}');
    const expected = contentHash(content);
    for (const vector of vectors.invalid) {
      expect(() => contentHash(contentOf(vector))).toThrow(JsonProblem);
      expect(contentHash(content)).toEqual(expected);
    }
  });

  test("returns bytes that later calls leave unchanged", () => {
    const first = contentHash(inputAlone("1"));
    const copy = Buffer.from(first);
    contentHash(inputAlone("2"));
    expect(first).toEqual(copy);
  });
});
