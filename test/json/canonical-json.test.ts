import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CanonicalWriter, canonicalize, JsonProblem } from "../../src/json/canonical-json.ts";
import { contentOf, spellOut, vectors } from "../vectors/content-hash.ts";

/** RFC 8785 to the letter, on a parsed value: `canonicalize` must agree with it. */
function reference(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(reference).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${reference(member)}`).join(",")}}`;
}

/** Spells a value in one of many ways. `choose` returns a number below its argument. */
function respell(value: unknown, choose: (choices: number) => number): string {
  const gap = () => ["", "", " ", "\n  ", "\t", "\r\n"][choose(6)];
  const list = (parts: string[]) => parts.map((part) => gap() + part + gap()).join(",") || gap();
  if (typeof value === "string") return respellString(value, choose);
  if (typeof value === "number") return respellNumber(value, choose);
  if (Array.isArray(value)) return `[${list(value.map((element) => respell(element, choose)))}]`;
  if (typeof value !== "object" || value === null) return String(value);
  const members = Object.entries(value).map(
    ([name, member]) => `${respellString(name, choose)}${gap()}:${gap()}${respell(member, choose)}`,
  );
  for (let i = members.length - 1; i > 0; i--) {
    const j = choose(i + 1);
    [members[i], members[j]] = [members[j] as string, members[i] as string];
  }
  return `{${list(members)}}`;
}

function respellString(value: string, choose: (choices: number) => number): string {
  const characters = Array.from({ length: value.length }, (_, i) => {
    const hex = value.charCodeAt(i).toString(16).padStart(4, "0");
    const asIs = JSON.stringify(value[i]).slice(1, -1);
    if (value[i] === "/" && choose(2) === 0) return "\\/";
    return [`\\u${hex}`, `\\u${hex.toUpperCase()}`][choose(6)] ?? asIs;
  });
  // A literal surrogate next to an escaped one does not make a pair.
  return `"${characters.join("")}"`.replace(
    /[\ud800-\udfff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16)}`,
  );
}

function respellNumber(value: number, choose: (choices: number) => number): string {
  const sign = Object.is(value, -0) ? "-" : "";
  const plain = sign + String(value);
  const spellings = [plain, sign + value.toExponential(), sign + value.toExponential().toUpperCase()];
  if (/^-?\d+$/.test(plain)) spellings.push(`${plain}.0`, `${plain}.000`, `${plain}e0`, `${plain}E+00`);
  else if (!plain.includes("e")) spellings.push(`${plain}0`, `${plain}000`);
  return spellings[choose(spellings.length)] as string;
}

const characters = fc.string({ unit: "binary", maxLength: 60 });
const names = fc.oneof(
  fc.constantFrom(
    "",
    "a",
    "b",
    "ab",
    "a b",
    'a"',
    "a\\",
    "\n",
    "\t",
    "__proto__",
    "constructor",
    "\ue000",
    "😀",
    "\ud7ff",
  ),
  fc.string({ unit: "binary", maxLength: 8 }),
);

/** Any JSON value whose numbers may be spelled with a point or an exponent. */
const { value: json } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.constantFrom(null, true, false),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.maxSafeInteger(),
    fc.integer({ min: -20, max: 20 }).map((exponent) => 10 ** exponent),
    characters,
    fc.array(tie("value"), { maxLength: 8 }),
    // As JSON.parse does: a member called __proto__ leaves the prototype alone.
    fc
      .uniqueArray(fc.tuple(names, tie("value")), { selector: ([name]) => name, maxLength: 8 })
      .map((entries) => Object.fromEntries(entries)),
  ),
}));

/** A spelling of a value with damage in a few places. */
const damaged = fc.tuple(json, fc.gen()).map(([value, g]) => {
  let text = respell(value, (choices) => g(fc.nat, choices - 1));
  for (let edits = 1 + g(fc.nat, 2); edits > 0; edits--) {
    const at = g(fc.nat, text.length);
    const inserted = g(
      fc.constantFrom,
      ..."{}[]\",:\\/'-+.019eEuntfd \n\t\0\u00a0é\ud83d\ude00".split(""),
      "\\ud83d",
      "NaN",
      "",
    );
    text = text.slice(0, at) + inserted + text.slice(at + g(fc.nat, 2));
  }
  return text;
});

function problemOf(text: string): JsonProblem | undefined {
  try {
    canonicalize(text);
    return undefined;
  } catch (error) {
    if (error instanceof JsonProblem) return error;
    throw error;
  }
}

function parse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    // Only whether it is JSON matters.
    return undefined;
  }
}

describe("canonicalize", () => {
  test.each(vectors.valid)("returns the canonical form of the vector: $name", (vector) => {
    const { input, expectedOutput, metadata } = contentOf(vector);
    const members = [
      ...(expectedOutput === undefined ? [] : [`"expected_output":${canonicalize(expectedOutput)}`]),
      `"input":${canonicalize(input)}`,
      ...(metadata === undefined ? [] : [`"metadata":${canonicalize(metadata)}`]),
    ];
    expect(`{${members.join(",")}}`).toBe(spellOut(vector.canonical));
  });

  test("agrees with RFC 8785 to the letter", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalize(respell(value, () => 0))).toBe(reference(value));
      }),
      { numRuns: 2000 },
    );
  });

  test("leaves canonical text alone", () => {
    fc.assert(
      fc.property(json, (value) => {
        const canonical = reference(value);
        expect(canonicalize(canonical)).toBe(canonical);
      }),
      { numRuns: 2000 },
    );
  });

  test("does not depend on order of members, white space, escapes or spelling of numbers", () => {
    fc.assert(
      fc.property(json, fc.gen(), (value, g) => {
        const text = respell(value, (choices) => g(fc.nat, choices - 1));
        expect(canonicalize(text)).toBe(reference(value));
      }),
      { numRuns: 2000 },
    );
  });

  test("accepts what JSON.parse accepts, except what I-JSON forbids, and nothing else", () => {
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(damaged, (text) => {
        // V8 mistakes a name with an escaped quote or backslash for another one of its length that it has seen before,
        // in any text: nodejs/node#63785.
        fc.pre(!/\\["\\]|\\u00(?:22|5c)/i.test(text));
        const parsed = parse(text);
        const problem = problemOf(text)?.problem;
        if (problem === undefined) {
          accepted++;
          expect(canonicalize(text)).toBe(reference(parsed?.value));
        } else if (parsed !== undefined) {
          refused++;
          expect(problem).toMatch(
            /^(duplicate member ".*"|lone surrogate|integer that loses digits as a double|number beyond the range of a double)$/s,
          );
        }
      }),
      { numRuns: 10_000 },
    );
    // Otherwise the property would prove little.
    expect(accepted).toBeGreaterThan(200);
    expect(refused).toBeGreaterThan(20);
  });

  test("sorts many members as it sorts few", () => {
    for (const count of [2, 99, 100, 101, 102, 5000]) {
      const entries = Array.from({ length: count }, (_, i) => [`name ${(i * 7919) % 10_007}`, i] as const);
      const value = Object.fromEntries(entries);
      expect(canonicalize(JSON.stringify(value, null, 1))).toBe(reference(value));
    }
  });

  test("finds a duplicate among many members", () => {
    const members = Array.from({ length: 1000 }, (_, i) => `"${(i * 7919) % 10_007}":0`);
    expect(problemOf(`{${members.join(",")},"0":1}`)?.problem).toBe('duplicate member "0"');
  });

  test("refuses lone surrogates that are not escaped", () => {
    for (const text of [
      '"\ud83d"',
      '"\ude00"',
      '"x\ud83dx"',
      '"\ude00\ud83d"',
      '"\u00e9\ud83d\\ude00"',
      '"\\ud83d\ude00"',
    ]) {
      expect(problemOf(`{"a":[0,${text}]}`)).toMatchObject({ path: ".a[1]", problem: "lone surrogate" });
    }
    expect(problemOf('{"a":{"\ud83d":1}}')).toMatchObject({ path: ".a", problem: "lone surrogate" });
    expect(problemOf("1\ud83d")).toMatchObject({ path: "", problem: "lone surrogate" });
    expect(problemOf("\ud83d")).toMatchObject({ path: "", problem: "lone surrogate" });
  });

  test("names the first of several problems", () => {
    expect(problemOf('{"a":01,"b":"\ud83d"}')).toMatchObject({ path: ".a" });
    expect(problemOf('[1e999,{"a":1,"a":2}]')).toMatchObject({ path: "[0]" });
  });

  test("counts positions in UTF-16 units", () => {
    expect(problemOf('["é€😀" x]')?.problem).toBe("unexpected character at position 8");
  });

  test("starts paths with the root", () => {
    expect(() => canonicalize('{"a":[1,]}', "$.input")).toThrow(
      "$.input.a[1]: unexpected character at position 8",
    );
  });

  test("keeps problems short, however long the names are", () => {
    const name = "n".repeat(500_000);
    const duplicate = problemOf(`{"a":{"${name}":1,"${name}":2}}`);
    expect(duplicate).toMatchObject({ path: ".a", problem: `duplicate member "${"n".repeat(100)}…"` });
    const deep = problemOf(`{"a":{"${name}":{"b":!}}}`);
    expect(deep?.path).toBe(".a");
  });

  test("makes room for long texts", () => {
    for (const character of ["x", "é", "€", "😀"]) {
      const text = `["${character.repeat(100_000)}"]`;
      const writer = new CanonicalWriter();
      writer.appendJson(text, "");
      writer.appendJson(text, "");
      expect(writer.bytes().toString()).toBe(text + text);
    }
  });

  test("reads a text after a longer one", () => {
    canonicalize(`["${"é".repeat(100_000)}"]`);
    expect(problemOf('"\\u00')?.problem).toBe("unexpected end of text");
    expect(problemOf('["a')?.problem).toBe("unexpected end of text");
    expect(canonicalize('["a"]')).toBe('["a"]');
  });

  describe("takes time in proportion to the text", () => {
    const size = 3_000_000;
    const many = (count: number, spell: (i: number) => string) =>
      Array.from({ length: count }, (_, i) => spell(i)).join(",");

    test.each([
      ["open brackets", "more than 128 levels", "[".repeat(size)],
      ["open objects", "more than 128 levels", '{"a":'.repeat(size / 5)],
      ["a string without end", "unexpected end of text", `"${"a".repeat(size)}`],
      ["escaped quotes without end", "unexpected end of text", `"${'\\"'.repeat(size / 2)}`],
      ["white space", "unexpected end of text", " ".repeat(size)],
      ["digits", "number beyond the range of a double", "1".repeat(size)],
      ["empty arrays", undefined, `[${many(size / 3, () => "[]")}]`],
      ["numbers that get longer", undefined, `[${many(size / 5, () => "1e20")}]`],
      ["escapes", undefined, `"${"\\u00e9".repeat(size / 6)}"`],
      ["members from last to first", undefined, `{${many(size / 12, (i) => `"${10_000_000 - i}":0`)}}`],
      ["names with escapes", undefined, `{${many(size / 18, (i) => `"\\u0061${10_000_000 - i}":0`)}}`],
      [
        "names that differ at their ends",
        undefined,
        `[${many(10, () => `{${many(100, (i) => `"${"n".repeat(3000)}${200 - i}":0`)}}`)}]`,
      ],
      [
        "a long text inside 128 objects to be sorted",
        undefined,
        `${'{"b":0,"a":'.repeat(128)}"${"x".repeat(size)}"${"}".repeat(128)}`,
      ],
    ])("3 MB of %s", (_, problem, text) => {
      const before = process.threadCpuUsage();
      expect(problemOf(text)?.problem).toBe(problem);
      const { user, system } = process.threadCpuUsage(before);
      // In microseconds. Some take 0.3 s, most a tenth of that. Anything quadratic takes minutes.
      expect(user + system).toBeLessThan(3_000_000);
    });
  });
});
