import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonProblem } from "../../src/json/json-problem.ts";
import { parseJson, readJsonText } from "../../src/json/json-text.ts";
import { plainJson } from "../../src/json/json-value.ts";

/** Returns the JSON text of a value. */
const text = (value: unknown) => JSON.stringify(plainJson(value, "$.input"));

function problemOf(value: unknown): string {
  try {
    plainJson(value, "$.input");
  } catch (error) {
    if (error instanceof JsonProblem) return error.message;
    throw error;
  }
  return "";
}

describe("values that JSON can represent", () => {
  test("are spelled as JSON.stringify spells them", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary", maxDepth: 4 }), (value) => {
        fc.pre(!/\d{16}/.test(JSON.stringify(value)));
        expect(text(value)).toBe(JSON.stringify(value));
      }),
    );
  });

  test("are not copied", () => {
    const value = { a: [{ b: 1 }, "x"] };
    expect(plainJson(value, "$")).toBe(value);
  });

  test.each([
    ["a Date is its ISO string", new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ["toJSON replaces its object", { a: { toJSON: () => [1n] } }, '{"a":[1]}'],
    ["a bigint is a number", [2n ** 53n - 1n, -1n, 2n ** 60n], "[9007199254740991,-1,1152921504606847000]"],
    ["large integers stay", [2 ** 53, 1e20, 1e21], "[9007199254740992,100000000000000000000,1e+21]"],
    ["undefined members are left out", { a: undefined, b: 1, c: { d: undefined } }, '{"b":1,"c":{}}'],
    ["-0 is 0", -0, "0"],
    ["numbers with exponents stay", [1e21, 1e-7, 5e-324], "[1e+21,1e-7,5e-324]"],
    ["U+0000 is a character", "\u0000", '"\\u0000"'],
    ["an object without prototype", Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    ["__proto__ is a name", JSON.parse('{"__proto__":{"x":1},"d":1}'), '{"__proto__":{"x":1},"d":1}'],
    [
      "the same object twice is not a cycle",
      (() => {
        const one = {};
        return [one, one];
      })(),
      "[{},{}]",
    ],
  ])("%s", (_, value, expected) => {
    expect(text(value)).toBe(expected);
  });

  test("keep awkward names when something else is replaced", () => {
    const value = JSON.parse('{"__proto__":1,"constructor":2}');
    value.when = new Date(0);
    expect(text(value)).toBe('{"__proto__":1,"constructor":2,"when":"1970-01-01T00:00:00.000Z"}');
  });
});

describe("values that JSON cannot represent are refused", () => {
  const cycle: Record<string, unknown> = { a: {} };
  (cycle.a as Record<string, unknown>).back = [cycle];
  let deep: unknown = 0;
  for (let level = 0; level < 129; level++) deep = [deep];

  test.each([
    ["undefined", undefined, "$.input: undefined is not JSON"],
    ["an undefined element", { a: [1, undefined] }, "$.input.a[1]: undefined is not JSON"],
    ["a hole", new Array(1), "$.input[0]: undefined is not JSON"],
    ["NaN", { "top-k": Number.NaN }, "$.input['top-k']: NaN is not JSON"],
    ["an infinity", [-Infinity], "$.input[0]: -Infinity is not JSON"],
    ["a function", { f() {} }, "$.input.f: a function is not JSON"],
    ["a symbol", [Symbol("s")], "$.input[0]: a symbol is not JSON"],
    ["a lone surrogate", ["a\ud800"], "$.input[0]: lone surrogate"],
    ["one in a name", { "\udc00": 1 }, "$.input: lone surrogate in the name of a member"],
    [
      "a bigint that loses digits",
      { n: 2n ** 53n + 1n },
      "$.input.n: integer that loses digits as a double; send it as a string",
    ],
    ["a cycle", cycle, "$.input.a.back[0]: circular reference"],
    ["an invalid Date", { at: new Date("x") }, "$.input.at: an invalid Date is not JSON"],
    ["a Map", { m: new Map() }, "$.input.m: an object of class Map is not JSON; convert it to plain values"],
    [
      "a Promise",
      Promise.resolve(1),
      "$.input: an object of class Promise is not JSON; convert it to plain values",
    ],
    [
      "bytes",
      new Uint8Array(1),
      "$.input: an object of class Uint8Array is not JSON; convert it to plain values",
    ],
    ["an Error", new Error("x"), "$.input: an object of class Error is not JSON; convert it to plain values"],
    [
      "a boxed number",
      Object(1),
      "$.input: an object of class Number is not JSON; convert it to plain values",
    ],
    ["an invalid result of toJSON", { toJSON: () => [Number.NaN] }, "$.input[0]: NaN is not JSON"],
    [
      "toJSON of itself",
      (() => {
        const o = { toJSON: (): unknown => o };
        return o;
      })(),
      "$.input: toJSON returns the object itself",
    ],
  ])("%s", (_, value, expected) => {
    expect(problemOf(value)).toBe(expected);
  });

  test("more than 128 levels", () => {
    expect(problemOf(deep)).toMatch(/^\$\.input(\[0\]){128}: more than 128 levels$/);
    expect(problemOf((deep as unknown[])[0])).toBe("");
  });
});

describe("a JSON text", () => {
  test("is read as JSON.parse reads it", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary", maxDepth: 4 }), (value) => {
        const spelled = JSON.stringify(value, null, 1);
        fc.pre(!/\d{16}/.test(spelled));
        expect(JSON.stringify(readJsonText(spelled, "$"))).toBe(JSON.stringify(value));
      }),
    );
  });

  test("is read correctly where a name ends with a backslash and others are escaped", () => {
    const spelled = '[{"a\\\\":1,"\\u0062":2},{"a\\\\":3,"\\u0062\\"":4,"b":5}]';
    expect(JSON.stringify(parseJson(spelled))).toBe('[{"a\\\\":1,"b":2},{"a\\\\":3,"b\\"":4,"b":5}]');
  });
});
