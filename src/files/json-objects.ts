import {
  backslash,
  carriageReturn,
  closeBrace,
  closeBracket,
  comma,
  lineFeed,
  openBrace,
  openBracket,
  quote,
  space,
  tab,
} from "../json/json-bytes.ts";
import { plural } from "../quantities.ts";
import { invalidFile } from "./invalid-file.ts";

/** One object of a JSON or JSONL file, as text that begins with a brace. The rest has not been validated. */
export interface ObjectText {
  readonly text: string;
  /** From 1. */
  readonly number: number;
  /** The line that it begins in, from 1. */
  readonly line: number;
}

/**
 * Maximum size of an object in bytes: much more than an item may have. Without a bound, a missing quote would take all
 * memory.
 */
const maxObjectBytes = 4 * 1024 * 1024;

const isSpace = (byte: number | undefined) =>
  byte === space || byte === lineFeed || byte === carriageReturn || byte === tab;

/**
 * Yields the objects of a JSONL file, page by page. Lines with only white space are skipped.
 *
 * @throws Failure INVALID_FILE
 */
export async function* objectsOfLines(text: AsyncIterable<Buffer>): AsyncGenerator<ObjectText[]> {
  let rest: Buffer = Buffer.alloc(0);
  let line = 1;
  let number = 0;
  const take = (bytes: Buffer, page: ObjectText[]) => {
    const start = startOfText(bytes, 0);
    if (start < bytes.length) {
      number++;
      requireShort(bytes.length - start, number, line);
      if (bytes[start] !== openBrace) throw invalidFile("is not a JSON object", { row: number, line });
      page.push({ text: bytes.toString("utf8", start), number, line });
    }
    line++;
  };
  for await (const chunk of text) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const page: ObjectText[] = [];
    let at = 0;
    // The rest from before contains no line feed.
    for (let end = bytes.indexOf(lineFeed, rest.length); end >= 0; end = bytes.indexOf(lineFeed, at)) {
      take(bytes.subarray(at, end), page);
      at = end + 1;
    }
    rest = bytes.subarray(at);
    requireShort(rest.length, number + 1, line);
    yield page;
  }
  const page: ObjectText[] = [];
  take(rest, page);
  yield page;
}

/**
 * Yields the objects of a JSON file that contains one array of them, page by page.
 *
 * @throws Failure INVALID_FILE
 */
export async function* objectsOfArray(text: AsyncIterable<Buffer>): AsyncGenerator<ObjectText[]> {
  const splitter = new ArraySplitter();
  for await (const chunk of text) yield splitter.feed(chunk);
  splitter.end();
}

/** The tokens that may come next. */
type Expected = "array" | "first" | "object" | "separator" | "inside" | "nothing";

/**
 * Splits an array into its elements. Follows strings and the depth of brackets, and leaves all other checks to later
 * readers.
 */
class ArraySplitter {
  #bytes: Buffer = Buffer.alloc(0);
  #expected: Expected = "array";
  /** Within an object: the depth, and whether it is within a string. */
  #depth = 0;
  #isString = false;
  /** Bytes of the next chunk that belong to an escape at the end of the last one. */
  #escapes = 0;
  #number = 0;
  #line = 1;
  /** The line in which the object begins. */
  #objectLine = 1;

  feed(chunk: Buffer): ObjectText[] {
    const known = this.#bytes.length;
    const bytes = known === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const page: ObjectText[] = [];
    let start = 0;
    let at = known;
    while (at < bytes.length) {
      if (this.#expected === "inside") {
        const end = this.#inside(bytes, at);
        if (end < 0) break;
        page.push({ text: bytes.toString("utf8", start, end), number: this.#number, line: this.#objectLine });
        this.#expected = "separator";
        at = end;
        continue;
      }
      const byte = bytes[at] as number;
      if (isSpace(byte)) {
        if (byte === lineFeed) this.#line++;
      } else if (this.#outside(byte)) {
        start = at;
      }
      at++;
    }
    this.#bytes = this.#expected === "inside" ? bytes.subarray(start) : Buffer.alloc(0);
    requireShort(this.#bytes.length, this.#number, this.#objectLine);
    return page;
  }

  end(): void {
    if (this.#expected === "nothing") return;
    if (this.#expected === "array") throw invalidFile("is empty; expected a JSON array");
    throw invalidFile("ends within the JSON array", this.#position());
  }

  /** Takes a byte between objects. Returns whether it begins one. */
  #outside(byte: number): boolean {
    const expected = this.#expected;
    if (expected === "array") {
      if (byte !== openBracket) throw invalidFile("is not a JSON array of objects", { line: this.#line });
      this.#expected = "first";
    } else if (expected === "nothing") {
      throw invalidFile("continues after the JSON array", { line: this.#line });
    } else if (expected === "separator") {
      if (byte !== comma && byte !== closeBracket) {
        throw invalidFile("is not followed by a comma or the end of the array", this.#position());
      }
      this.#expected = byte === comma ? "object" : "nothing";
    } else if (byte === closeBracket && expected === "first") {
      this.#expected = "nothing";
    } else {
      this.#number++;
      if (byte !== openBrace) throw invalidFile("is not a JSON object", this.#position());
      this.#expected = "inside";
      this.#objectLine = this.#line;
      this.#depth = 1;
      this.#isString = false;
      return true;
    }
    return false;
  }

  /** Continues within an object. Returns the position after it; -1 if it does not end here. */
  #inside(bytes: Buffer, from: number): number {
    let at = from + this.#escapes;
    this.#escapes = 0;
    for (; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (this.#isString) {
        if (byte === quote) this.#isString = false;
        else if (byte === backslash) at++;
      } else if (byte === quote) {
        this.#isString = true;
      } else if (byte === openBrace || byte === openBracket) {
        this.#depth++;
      } else if (byte === closeBrace || byte === closeBracket) {
        if (--this.#depth === 0) return at + 1;
      } else if (byte === lineFeed) {
        this.#line++;
      }
    }
    this.#escapes = at - bytes.length;
    return -1;
  }

  #position() {
    return { line: this.#line, ...(this.#number === 0 ? {} : { row: this.#number }) };
  }
}

function startOfText(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && isSpace(bytes[at])) at++;
  return at;
}

function requireShort(length: number, row: number, line: number): void {
  if (length > maxObjectBytes)
    throw invalidFile(`has more than ${plural(maxObjectBytes, "byte")}`, { row, line });
}
