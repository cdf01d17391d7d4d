import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ComparedItem, changedPaths } from "../../src/diffs/changed-paths.ts";
import { contentHash } from "../../src/items/content-hash.ts";
import { spelledSegment } from "../../src/json/json-path.ts";

interface State {
  readonly input?: string;
  readonly expectedOutput?: string;
  readonly metadata?: string;
  readonly splits?: readonly string[];
}

/** An item of JSON texts. */
function state({ input = "0", expectedOutput, metadata, splits = [] }: State): ComparedItem {
  const content = { input, expectedOutput, metadata };
  return { ...content, splits, contentHash: contentHash(content) };
}

const paths = (before: State, after: State) => changedPaths(state(before), state(after));
/** Returns the changed paths between two inputs, given as texts. */
const between = (before: string, after: string) => paths({ input: before }, { input: after });
const json = (value: unknown) => JSON.stringify(value);

describe("changed paths", () => {
  test.each([
    ["1", "2", ["$.input"]],
    ['{"a":1,"b":2}', '{"a":1,"b":3}', ["$.input.b"]],
    ['{"a":1}', '{"b":1}', ["$.input.a", "$.input.b"]],
    ['{"b":1,"a":{"c":[1,{"d":2}]}}', '{"a":{"c":[1,{"d":3}]},"b":1}', ["$.input.a.c[1].d"]],
    ["{}", "[]", ["$.input"]],
    ['{"a":{}}', '{"a":{"b":null}}', ["$.input.a.b"]],
    ['{"a":null}', "{}", ["$.input.a"]],
    ["[1,2,3]", "[1,3]", ["$.input[1]", "$.input[2]"]],
    ["[1]", "[1,2,3]", ["$.input[1]", "$.input[2]"]],
    ["[]", "[[]]", ["$.input[0]"]],
    ['["a,b]",{"x":"}"},7]', '["a,b]",{"x":"{"},7]', ["$.input[1].x"]],
    ['{"a\\\\":1,"\\u0041\\n":2,"c":3}', '{"a\\\\":1,"A\\n":4,"c":5}', ["$.input['A\\n']", "$.input.c"]],
    ['{"top-k":1}', '{"top-k":2}', ["$.input['top-k']"]],
    ['{"it\'s":1}', '{"it\'s":2}', ["$.input['it\\'s']"]],
    [
      '{"__proto__":{"a":1},"constructor":1}',
      '{"__proto__":{"a":2},"constructor":1}',
      ["$.input.__proto__.a"],
    ],
    ['{"toString":1}', "{}", ["$.input.toString"]],
    ['{"\u{1f600}":1,"\u{ff5e}":1}', '{"\u{ff5e}":2}', ["$.input['\u{1f600}']", "$.input['\u{ff5e}']"]],
    ['"a"', '"\\u0000"', ["$.input"]],
    ["true", '"true"', ["$.input"]],
  ])("from %s to %s are %j", (before, after, expected) => {
    expect(between(before, after)).toEqual(expected);
    expect(between(after, before)).toEqual(expected);
    expect(between(before, before)).toEqual([]);
  });

  test.each([
    ["1.0", "1"],
    ["-0", "0"],
    ["1e2", "100"],
    ['{"a":1,"b":2}', '{ "b" : 2e0 , "a" : 1.0 }'],
    ['"\\u0041\\/"', '"A/"'],
  ])("are none between %s and %s, which mean the same", (before, after) => {
    expect(between(before, after)).toEqual([]);
  });

  test("distinguish absent, null and the empty object", () => {
    expect(paths({}, { expectedOutput: "null" })).toEqual(["$.expected_output"]);
    expect(paths({ expectedOutput: "null" }, { expectedOutput: "0" })).toEqual(["$.expected_output"]);
    expect(paths({ metadata: "{}" }, {})).toEqual(["$.metadata"]);
    expect(paths({ metadata: '{"a":1}' }, { metadata: "{}" })).toEqual(["$.metadata.a"]);
  });

  test("name the members of an item in order, splits last", () => {
    const before = { input: '{"a":1}', expectedOutput: "1", metadata: '{"m":1}', splits: ["train"] };
    const after = { input: '{"a":2}', expectedOutput: "2", metadata: '{"m":2}', splits: ["test", "train"] };
    expect(paths(before, after)).toEqual(["$.input.a", "$.expected_output", "$.metadata.m", "$.splits"]);
    expect(paths(before, { ...before, splits: [] })).toEqual(["$.splits"]);
  });

  test("are the whole item if it was purged, unless only splits differ", () => {
    const purged = (one: ComparedItem): ComparedItem => ({
      ...one,
      input: undefined,
      expectedOutput: undefined,
      metadata: undefined,
    });
    const [one, other] = [state({ input: "1" }), state({ input: "2", splits: ["a"] })];
    expect(changedPaths(purged(one), purged(other))).toEqual(["$"]);
    expect(changedPaths(purged(one), purged({ ...one, splits: ["a"] }))).toEqual(["$.splits"]);
  });

  const numbers = (count: number, add: number) => Array.from({ length: count }, (_, n) => n + add);

  test("are at most 100: further ones are replaced by parents, those of most paths first", () => {
    expect(between(json(numbers(100, 0)), json(numbers(100, 1)))).toHaveLength(100);
    expect(between(json(numbers(101, 0)), json(numbers(101, 1)))).toEqual(["$.input"]);
    const grouped = (add: number) => json({ a: numbers(60, add), b: numbers(70, add), c: numbers(20, add) });
    const found = between(grouped(0), grouped(1));
    expect(found).toHaveLength(60 + 1 + 20);
    expect(found.slice(59, 62)).toEqual(["$.input.a[59]", "$.input.b", "$.input.c[0]"]);
    const wide = (add: number) =>
      Object.fromEntries(numbers(100, 0).map((n) => [`m${n}`, numbers(3, add)] as const));
    expect(between(json(wide(0)), json(wide(1)))).toHaveLength(100);
    expect(between(json({ ...wide(0), z: 0 }), json({ ...wide(1), z: 1 }))).toEqual(["$.input"]);
    // The groups of an item are treated like all others.
    const [before, after] = [json(numbers(80, 0)), json(numbers(80, 1))];
    expect(paths({ input: before, expectedOutput: "1" }, { input: after, expectedOutput: "2" })).toHaveLength(
      81,
    );
    expect(
      paths({ input: before, expectedOutput: before }, { input: after, expectedOutput: after }),
    ).toHaveLength(81);
  });

  test("have at most 1,000 characters: longer ones are replaced by their parents", () => {
    const long = "k".repeat(900);
    const nested = (value: number) => json({ [long]: { short: value, [long]: value } });
    expect(between(nested(1), nested(2))).toEqual([`$.input.${long}`]);
    expect(between(json({ [long]: { a: 1 } }), json({ [long]: { a: 2 } }))).toEqual([`$.input.${long}.a`]);
    const huge = "k".repeat(2000);
    expect(between(json({ a: 1, [huge]: 1 }), json({ a: 2, [huge]: 2 }))).toEqual(["$.input"]);
  });

  test("are found in deep and in wide values", () => {
    const deep = (leaf: number) => "[".repeat(128) + leaf + "]".repeat(128);
    expect(between(deep(1), deep(2))).toEqual([`$.input${"[0]".repeat(128)}`]);
    // Quadratic time would take minutes.
    expect(between(json(numbers(200_000, 0)), json(numbers(200_000, 1)))).toEqual(["$.input"]);
  });
});

describe("changed paths of random values", () => {
  type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

  const value = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom(null, true, 0, 1, "", "a", "\\", "\0", "]"),
      fc.array(tie("value"), { maxLength: 4 }),
      fc
        .uniqueArray(
          fc.tuple(fc.constantFrom("a", "b", "\\", 'c"', "__proto__", "é", "\n", "top-k"), tie("value")),
          {
            selector: ([name]) => name,
            maxLength: 4,
          },
        )
        .map((members) => Object.fromEntries(members) as Json),
    ),
  })).value;

  const isObject = (one: Json): one is { [name: string]: Json } =>
    typeof one === "object" && one !== null && !Array.isArray(one);

  /** The same from parsed values: simple, and correct for few differences. */
  function naive(before: Json | undefined, after: Json | undefined, path: string): string[] {
    if (before === undefined || after === undefined) return [path];
    if (Array.isArray(before) && Array.isArray(after)) {
      const length = Math.max(before.length, after.length);
      return Array.from({ length }, (_, n) => naive(before[n], after[n], path + spelledSegment(n))).flat();
    }
    if (isObject(before) && isObject(after)) {
      const own = (one: { [name: string]: Json }, name: string) =>
        Object.hasOwn(one, name) ? one[name] : undefined;
      const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
      return names.flatMap((name) => naive(own(before, name), own(after, name), path + spelledSegment(name)));
    }
    return json(before) === json(after) ? [] : [path];
  }

  test("equal those found by comparing parsed values", () => {
    fc.assert(
      fc.property(value, value, (before, after) => {
        const expected = naive(before, after, "$.input");
        fc.pre(expected.length <= 100);
        expect(between(json(before), json(after))).toEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test("are none exactly if the hashes are equal", () => {
    fc.assert(
      fc.property(value, value, (before, after) => {
        const [one, other] = [state({ input: json(before) }), state({ input: json(after) })];
        const same = Buffer.compare(one.contentHash, other.contentHash) === 0;
        expect(changedPaths(one, other).length === 0).toBe(same);
      }),
    );
  });
});
