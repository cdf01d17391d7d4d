import { describe, expect, test } from "vitest";
import {
  compileItemSchemas,
  findItemSchemas,
  isSameSchema,
  schemaHashOf,
} from "../../src/schemas/item-schemas.ts";

describe("the schemas of a dataset", () => {
  test("check each payload with its own schema, and absent expected outputs not at all", () => {
    const schemas = compileItemSchemas({
      inputSchema: '{"required":["q"]}',
      expectedOutputSchema: '{"type":"string"}',
    });
    expect(schemas?.check({ input: '{"q":1}', expectedOutput: undefined })).toBeUndefined();
    expect(schemas?.check({ input: '{"q":1}', expectedOutput: "null" })).toEqual({
      path: "$.expected_output",
      keyword: "type",
      problem: "is not of type string",
    });
    expect(schemas?.check({ input: "{}", expectedOutput: "null" })).toMatchObject({
      path: "$.input",
      keyword: "required",
    });
  });

  test("are none if both are absent, which {} is not", () => {
    expect(compileItemSchemas({})).toBeUndefined();
    expect(
      compileItemSchemas({ inputSchema: "{}" })?.check({ input: "1", expectedOutput: "2" }),
    ).toBeUndefined();
  });

  test("have the same hash however they are spelled, and different ones for input and expected output", () => {
    const hash = schemaHashOf({ inputSchema: '{"minimum":1,"type":"number"}' });
    expect(schemaHashOf({ inputSchema: ' { "type" : "number", "minimum" : 1.0 }' })).toEqual(hash);
    expect(schemaHashOf({ expectedOutputSchema: '{"minimum":1,"type":"number"}' })).not.toEqual(hash);
    expect(schemaHashOf({ inputSchema: '{"minimum":2,"type":"number"}' })).not.toEqual(hash);
    expect(schemaHashOf({})).toBeUndefined();
    expect(isSameSchema('{"a":1,"b":2}', '{"b":2, "a":1}')).toBe(true);
    expect(isSameSchema("{}", undefined)).toBe(false);
  });

  test("stay compiled until they are the least recently used", () => {
    const texts = (n: number) => ({
      inputSchema: JSON.stringify({ title: "x".repeat(200_000), minimum: n }),
    });
    const hashes = Array.from(
      { length: 20 },
      (_, n) => compileItemSchemas(texts(n))?.hash ?? Buffer.alloc(0),
    );
    const known = hashes.map((hash) => findItemSchemas(hash) !== undefined);
    expect(known).toContain(false);
    expect(known.indexOf(true)).toBe(known.lastIndexOf(false) + 1);
    expect(known.at(-1)).toBe(true);
    const last = compileItemSchemas(texts(19));
    expect(compileItemSchemas(texts(19))).toBe(last);
  });
});
