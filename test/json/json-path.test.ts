import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonPath as clientPath } from "../../clients/typescript/src/json/json-path.ts";
import { JsonProblem as ClientProblem } from "../../clients/typescript/src/json/json-problem.ts";
import { jsonPath } from "../../src/json/json-path.ts";
import { JsonProblem } from "../../src/json/json-problem.ts";

type Segment = string | number;

/** Names with all that is spelled in a way of its own, and indexes. */
const someSegment = fc.oneof(
  fc.nat(),
  fc.string({ unit: "binary" }),
  fc.string({
    unit: fc.constantFrom("a", "_", "9", "'", "\\", '"', "\0", "\t", "\n", "\x7f", "\u2028", "é"),
  }),
  fc.nat(1_100).map((length) => "n".repeat(length)),
);

describe.each([
  ["the service", jsonPath],
  ["the TypeScript client", clientPath],
])("a path of %s", (_, path) => {
  test.each<[segments: readonly Segment[], expected: string]>([
    [[], "$"],
    [["input", "messages", 2, "top-k"], "$.input.messages[2]['top-k']"],
    [["_a1", "1a", ""], "$._a1['1a']['']"],
    [["it's", "back\\slash", 'quote"'], "$['it\\'s']['back\\\\slash']['quote\"']"],
    [["\n", "\u0001", "\t\\"], "$['\\n']['\\u0001']['\\t\\\\']"],
    [["größe", "\u007f"], "$['größe']['\u007f']"],
  ])("is spelled as RFC 9535 has it: %j", (segments, expected) => {
    expect(path("$", segments)).toBe(expected);
  });

  test("names a parent where it would have more than 1,000 characters", () => {
    const name = "n".repeat(994);
    expect(path("$", ["a", name, "b"])).toBe(`$.a.${name}.b`);
    expect(path("$", ["a", `${name}n`, "b"])).toBe(`$.a.${name}n`);
    expect(path("$", ["a", `${name}nnn`, "b"])).toBe("$.a");
  });
});

describe("service and client", () => {
  test("spell every path and problem alike", () => {
    fc.assert(
      fc.property(fc.string(), fc.array(someSegment), fc.string(), (root, segments, problem) => {
        expect(clientPath(root, segments)).toBe(jsonPath(root, segments));
        const { name, path, problem: told, message } = new JsonProblem(root, segments, problem);
        expect(new ClientProblem(root, segments, problem)).toMatchObject({
          name,
          path,
          problem: told,
          message,
        });
      }),
    );
  });
});
