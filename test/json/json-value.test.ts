import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseJson } from "../../src/json/json-value.ts";

/** Member names as they are spelled, with their meanings. */
const names = {
  a: "a",
  b: "b",
  "\\u0062": "b",
  "\\n": "\n",
  '\\"': '"',
  "\\/": "/",
  "\\\\": "\\",
  "c\\\\": "c\\",
  "\\u005F_proto__": "__proto__",
  __proto__: "__proto__",
};

const name = fc
  .array(fc.constantFrom(...Object.entries(names)), { minLength: 1, maxLength: 3 })
  .map((parts) => ({
    spelled: parts.map(([spelled]) => spelled).join(""),
    meant: parts.map(([, meant]) => meant).join(""),
  }));

const object = fc.uniqueArray(name, { maxLength: 4, selector: ({ meant }) => meant });

describe("a JSON text", () => {
  test("is read correctly whatever names were read before", () => {
    fc.assert(
      fc.property(object, fc.constantFrom("", " ", "\n\t"), (members, space) => {
        const text = `{${space}${members.map(({ spelled }, i) => `"${spelled}"${space}:${i}`).join(`${space},`)}}`;
        const expected = members.map(({ meant }, i) => [meant, i] as const);
        expect(new Map(Object.entries(parseJson(text) as object))).toEqual(new Map(expected));
      }),
      { numRuns: 20_000 },
    );
  });

  test("means what JSON.parse makes of it if no name has an escape", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        fc.pre(!text.includes("\\"));
        expect(parseJson(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 2000 },
    );
  });

  test.each(["null", "-1.5e3", '"\\u0000"', "[]", "{}", "[true,false,null,0,{},[]]", '{"v":"\\":\\\\"}'])(
    "%s within a member whose name has an escape is read as it is alone",
    (text) => {
      expect(parseJson(`{ "\\n" : ${text} , "x":[ ${text} , ${text} ] }`)).toEqual({
        "\n": JSON.parse(text),
        x: [JSON.parse(text), JSON.parse(text)],
      });
    },
  );

  test("keeps __proto__ as an ordinary member", () => {
    for (const text of ['{"__proto__":{"x":1}}', '{"__proto__":{"x":1},"\\n":2}']) {
      const value = parseJson(text) as object;
      expect(Object.keys(value)[0]).toBe("__proto__");
      expect("x" in value).toBe(false);
    }
  });

  test("that is damaged throws", () => {
    for (const text of ['{"\\n":', '{"\\n', '["\\', '{"\\n":1', '{"\\n":[1,']) {
      expect(() => parseJson(text)).toThrow(SyntaxError);
    }
  });
});
