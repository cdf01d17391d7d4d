import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Failure } from "../../src/failure.ts";
import { type Bound, newPageTokens } from "../../src/rpc/page-token.ts";

const tokens = newPageTokens(randomBytes(32));

const text = fc.string({ unit: "grapheme" });
const bound: fc.Arbitrary<Bound> = fc.oneof(text, fc.integer(), fc.bigInt(), fc.boolean());
const binding = fc.array(bound, { maxLength: 5 });
const position = fc.array(text, { maxLength: 3 });

/** The reason why `open` refuses a token, or undefined if it accepts it. */
function refusal(open: () => unknown): string | undefined {
  try {
    open();
    return undefined;
  } catch (error) {
    if (error instanceof Failure) return error.reason;
    throw error;
  }
}

describe("a page token", () => {
  test("returns its position to the same call with the same arguments", () => {
    fc.assert(
      fc.property(text, binding, position, (call, bound, at) => {
        const token = tokens.seal(call, bound, at);
        expect(token).toMatch(/^[\w-]+$/);
        expect(tokens.open("page_token", token, call, bound)).toEqual(at);
      }),
    );
  });

  test("is refused by any other call, arguments or key", () => {
    fc.assert(
      fc.property(text, binding, text, binding, position, (call, bound, otherCall, otherBound, at) => {
        const token = tokens.seal(call, bound, at);
        const same = (a: readonly Bound[], b: readonly Bound[]) =>
          a.length === b.length && a.every((one, i) => typeof one === typeof b[i] && `${one}` === `${b[i]}`);
        fc.pre(call !== otherCall || !same(bound, otherBound));
        expect(refusal(() => tokens.open("page_token", token, otherCall, otherBound))).toBe(
          "INVALID_PAGE_TOKEN",
        );
        const others = newPageTokens(randomBytes(32));
        expect(refusal(() => others.open("page_token", token, call, bound))).toBe("INVALID_PAGE_TOKEN");
      }),
    );
  });

  test.each<[string, Bound[], Bound[]]>([
    ["a number is not its text", [1], ["1"]],
    ["an int64 is not a number", [1n], [1]],
    ["false is not its text", [false], ["false"]],
    ["arguments are not concatenated", ["a", "b"], ["ab"]],
    ["empty arguments count", [""], []],
    ["the order counts", ["a", "b"], ["b", "a"]],
  ])("%s", (_, bound, other) => {
    const token = tokens.seal("ListItems", bound, []);
    expect(refusal(() => tokens.open("page_token", token, "ListItems", other))).toBe("INVALID_PAGE_TOKEN");
  });

  test("is refused once any bit of it is changed", () => {
    fc.assert(
      fc.property(binding, position, fc.nat(), fc.integer({ min: 0, max: 7 }), (bound, at, place, bit) => {
        const bytes = Buffer.from(tokens.seal("ListItems", bound, at), "base64url");
        const index = place % bytes.length;
        bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << bit), index);
        const altered = bytes.toString("base64url");
        expect(refusal(() => tokens.open("cursor", altered, "ListItems", bound))).toBe("INVALID_PAGE_TOKEN");
      }),
    );
  });

  test("is refused if it is cut, padded or anything else", () => {
    const token = tokens.seal("ListItems", [], ["a"]);
    for (let length = 0; length < token.length; length++) {
      expect(refusal(() => tokens.open("cursor", token.slice(0, length), "ListItems", []))).toBeDefined();
    }
    for (const garbage of [`${token}=`, `${token} `, `${token}A`, `.${token}`]) {
      expect(refusal(() => tokens.open("cursor", garbage, "ListItems", []))).toBe("INVALID_PAGE_TOKEN");
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (garbage) => {
        expect(refusal(() => tokens.open("cursor", garbage, "ListItems", []))).toBe("INVALID_PAGE_TOKEN");
      }),
    );
  });

  test("is refused in the name of the field it came in", () => {
    expect(() => tokens.open("cursor", "x", "StreamItems", [])).toThrow(
      expect.objectContaining({ facts: { field: "cursor" } }),
    );
  });
});
