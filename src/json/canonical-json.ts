/**
 * Validates JSON by the rules of I-JSON (RFC 7493) and spells it canonically by RFC 8785 (JCS), in one pass over its
 * UTF-8. Every item that is written goes through here, so the common case is cheap: no value is built, and canonical
 * text is copied in runs as long as possible. That takes about as long as JSON.parse alone.
 */

import { CanonicalOutput } from "./canonical-output.ts";
import { losesDigits } from "./integer-digits.ts";
import {
  backslash,
  carriageReturn,
  closeBrace,
  closeBracket,
  colon,
  comma,
  compareStrings,
  endOfHex,
  endOfPlain,
  hexUnit,
  isCanonicalEscape,
  letterE,
  letterF,
  letterN,
  letterT,
  letterU,
  lineFeed,
  lowerCase,
  minus,
  nine,
  openBrace,
  openBracket,
  plus,
  point,
  quote,
  slash,
  space,
  stringAt,
  tab,
  zero,
} from "./json-bytes.ts";
import { JsonProblem } from "./json-problem.ts";
import { MemberStack } from "./member-stack.ts";

export { JsonProblem };

/** Maximum nesting of arrays and objects. Part of the contract: readers in every language must support this depth. */
const maxDepth = 128;

/**
 * Integers of at most this many digits are within ±(2^53-1), and decimals of at most this many significant digits
 * survive a double unchanged (DBL_DIG in C): both are canonical already. With one more, some would not be; with one
 * less, numbers are converted back and forth for nothing, at 0.2 µs each.
 */
const exactDigits = 15;

/** Longest member name that a problem quotes, in characters. A name may be as long as the text. */
const maxQuotedName = 100;

/** In `#segments`: the object itself, none of its members. Greater than every position. */
const noMember = 0x7fffffff;

/**
 * Returns the canonical form (RFC 8785) of a JSON text. Two texts mean the same if and only if their canonical forms
 * are equal. Apart from sorting members, the time is proportional to the length of the text, whatever it holds.
 *
 * @throws JsonProblem if the text is not JSON (RFC 8259, without byte order mark) or holds a duplicate member name, a
 * lone surrogate, an integer (no fraction, no exponent) that loses digits as a double, a number beyond the range of a
 * double, or more than 128 levels of arrays and objects. Its path starts with `root`.
 */
export function canonicalize(text: string, root = ""): string {
  writer.clear();
  writer.appendJson(text, root);
  return writer.bytes().toString();
}

/** Collects canonical JSON as UTF-8. Meant to be reused: its buffers grow to fit the longest text so far and are kept. */
export class CanonicalWriter {
  readonly #output = new CanonicalOutput();
  #text = "";
  #root = "";
  /** The text in UTF-8 and, at `#end`, a byte 0. */
  #source = Buffer.allocUnsafe(16 * 1024);
  #end = 0;
  /** Whether `#end` is at a lone surrogate instead of the end of the text. */
  #cut = false;
  /** The current position. */
  #at = 0;
  /** The source from here to `#at` is canonical and not yet in the output. */
  #pending = 0;
  #depth = 0;
  /** The path to `#at`: for each level the position of a member's name, `noMember`, or the complement of an index. */
  readonly #segments = new Int32Array(maxDepth + 1);
  /** The members of all open objects. */
  readonly #members = new MemberStack();

  /** Starts over with an empty output. */
  clear(): void {
    this.#output.clear();
  }

  /** Appends bytes unchanged. */
  append(bytes: Buffer): void {
    this.#output.append(bytes, 0, bytes.length);
  }

  /** Appends the canonical form of a JSON text. @throws as `canonicalize`; the output is unusable after that. */
  appendJson(text: string, root: string): void {
    this.#open(text, root);
    this.#value();
    this.#close();
  }

  /** The same for a text that must be an object. @throws JsonProblem for other values as well. */
  appendObject(text: string, root: string): void {
    this.#open(text, root);
    if (this.#source[this.#at] !== openBrace) this.#fail(this.#at, "must be a JSON object");
    this.#object();
    this.#close();
  }

  /** Returns everything appended so far. Valid until the next `clear`. */
  bytes(): Buffer {
    return this.#output.bytes();
  }

  #open(text: string, root: string): void {
    this.#text = text;
    this.#root = root;
    // UTF-8 takes at most three bytes per UTF-16 unit, and looking for digits after \u may read past the end.
    const bound = 3 * text.length + 8;
    if (bound > this.#source.length) {
      this.#source = Buffer.allocUnsafe(Math.max(bound, 2 * this.#source.length));
    }
    this.#end = this.#source.write(text);
    // As many bytes as characters: the text is ASCII.
    this.#cut = this.#end !== text.length && !text.isWellFormed();
    if (this.#cut) this.#end = this.#source.write(text.slice(0, text.search(/\p{Surrogate}/u)));
    this.#source[this.#end] = 0;
    this.#at = 0;
    this.#pending = 0;
    this.#depth = 0;
    this.#members.truncate(0);
    this.#space();
  }

  #close(): void {
    this.#space();
    if (this.#at < this.#end || this.#cut) this.#unexpected(this.#at);
    this.#flush(this.#at);
  }

  #value(): void {
    switch (this.#source[this.#at]) {
      case quote:
        this.#string();
        break;
      case openBrace:
        this.#object();
        break;
      case openBracket:
        this.#array();
        break;
      case letterT:
        this.#word("true");
        break;
      case letterF:
        this.#word("false");
        break;
      case letterN:
        this.#word("null");
        break;
      default:
        this.#number();
    }
  }

  #object(): void {
    const source = this.#source;
    const segments = this.#segments;
    const members = this.#members;
    const firstMember = members.count;
    let sorted = true;
    let escaped = false;
    let previous = -1;
    this.#enter();
    segments[this.#depth] = noMember;
    if (source[this.#at] === closeBrace) {
      this.#leave();
      return;
    }
    for (;;) {
      const name = this.#at;
      if (source[name] !== quote) this.#unexpected(name);
      members.push(name, this.#output.length + name - this.#pending);
      if (this.#string()) escaped = true;
      else if (sorted && !escaped && previous >= 0) sorted = compareStrings(source, previous, name) < 0;
      previous = name;
      segments[this.#depth] = name;
      this.#space();
      if (source[this.#at] !== colon) this.#unexpected(this.#at);
      this.#at++;
      this.#space();
      this.#value();
      this.#space();
      const next = source[this.#at];
      if (next === closeBrace) break;
      if (next !== comma) this.#unexpected(this.#at);
      this.#at++;
      segments[this.#depth] = noMember;
      this.#space();
    }
    // Names with escapes are not compared as they are read; sorting finds duplicates among them, too.
    if (!sorted || escaped) this.#sortMembers(firstMember, escaped);
    members.truncate(firstMember);
    this.#leave();
  }

  #array(): void {
    const source = this.#source;
    const segments = this.#segments;
    let index = 0;
    this.#enter();
    segments[this.#depth] = ~index;
    if (source[this.#at] === closeBracket) {
      this.#leave();
      return;
    }
    for (;;) {
      this.#value();
      this.#space();
      const next = source[this.#at];
      if (next === closeBracket) break;
      if (next !== comma) this.#unexpected(this.#at);
      this.#at++;
      segments[this.#depth] = ~++index;
      this.#space();
    }
    this.#leave();
  }

  #enter(): void {
    if (this.#depth === maxDepth) this.#fail(this.#at, `more than ${maxDepth} levels`);
    this.#depth++;
    this.#at++;
    this.#space();
  }

  #leave(): void {
    this.#depth--;
    this.#at++;
  }

  /** Reads a string. Returns whether it holds escapes. */
  #string(): boolean {
    const source = this.#source;
    let at = endOfPlain(source, this.#at + 1);
    let escaped = false;
    while (source[at] !== quote) {
      if (source[at] !== backslash) this.#unexpected(at);
      escaped = true;
      at = isCanonicalEscape(source[at + 1] as number) ? at + 2 : this.#escape(at);
      at = endOfPlain(source, at);
    }
    this.#at = at + 1;
    return escaped;
  }

  /** Rewrites the escape at a position. Returns the position after it. */
  #escape(start: number): number {
    const source = this.#source;
    let code: number = slash;
    let end = start + 2;
    if (source[start + 1] !== slash) {
      if (source[start + 1] !== letterU) this.#unexpected(start + 1);
      code = hexUnit(source, end);
      if (code < 0) this.#unexpected(endOfHex(source, end));
      end += 4;
      if (code >= 0xd800 && code <= 0xdfff) {
        const low = source[end] === backslash && source[end + 1] === letterU ? hexUnit(source, end + 2) : -1;
        if (code >= 0xdc00 || low < 0xdc00 || low > 0xdfff) this.#fail(start, "lone surrogate");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        end += 6;
      }
    }
    this.#flush(start);
    this.#output.appendCharacter(code);
    this.#pending = end;
    return end;
  }

  #number(): void {
    const source = this.#source;
    const start = this.#at;
    const first = source[start] === minus ? start + 1 : start;
    let end = source[first] === zero ? first + 1 : this.#digits(first);
    // -0 is 0, canonically.
    let exact = end - first <= exactDigits && (first === start || source[first] !== zero);
    let integer = true;
    if (source[end] === point) {
      const fraction = end + 1;
      end = this.#digits(fraction);
      integer = false;
      // Canonically, a fraction does not end with zeros, and a number below 0.000001 has an exponent.
      exact =
        end - first - 1 <= exactDigits &&
        source[end - 1] !== zero &&
        (end - fraction <= 6 || source[first] !== zero || source[fraction] !== zero);
    }
    if (((source[end] as number) | lowerCase) === letterE) {
      const sign = source[end + 1];
      end = this.#digits(sign === plus || sign === minus ? end + 2 : end + 1);
      integer = false;
      exact = false;
    }
    if (!exact) this.#respellNumber(start, end, integer);
    this.#at = end;
  }

  /** Returns the position after the digits at a position, of which there must be at least one. */
  #digits(from: number): number {
    const source = this.#source;
    let at = from;
    while ((source[at] as number) >= zero && (source[at] as number) <= nine) at++;
    if (at === from) this.#unexpected(at);
    return at;
  }

  #respellNumber(start: number, end: number, integer: boolean): void {
    const spelled = this.#source.toString("latin1", start, end);
    const value = Number(spelled);
    if (!Number.isFinite(value)) this.#fail(start, "number beyond the range of a double");
    if (integer && losesDigits(spelled, value)) this.#fail(start, "integer that loses digits as a double");
    // RFC 8785 takes the form of numbers from ECMAScript.
    const canonical = String(value);
    if (canonical === spelled) return;
    this.#flush(start);
    this.#output.appendAscii(canonical);
    this.#pending = end;
  }

  #word(word: string): void {
    const source = this.#source;
    for (let i = 0; i < word.length; i++, this.#at++) {
      if (source[this.#at] !== word.charCodeAt(i)) this.#unexpected(this.#at);
    }
  }

  /** Skips white space. */
  #space(): void {
    const source = this.#source;
    const start = this.#at;
    let code = source[start] as number;
    if (code > space) return;
    let at = start;
    while (code === space || code === lineFeed || code === carriageReturn || code === tab) {
      code = source[++at] as number;
    }
    if (at === start) return;
    this.#flush(start);
    this.#pending = at;
    this.#at = at;
  }

  /** Moves the pending source to the output. */
  #flush(to: number): void {
    if (this.#pending < to) this.#output.append(this.#source, this.#pending, to);
    this.#pending = to;
  }

  /** Sorts the members of the object that is about to close. */
  #sortMembers(firstMember: number, escaped: boolean): void {
    const members = this.#members;
    const order = members.order(this.#source, firstMember, escaped, (name) => this.#failDuplicate(name));
    this.#flush(this.#at);
    this.#output.reorder(order, (member) => members.startOf(member), firstMember, members.count - 1);
  }

  #failDuplicate(name: string): never {
    this.#segments[this.#depth] = noMember;
    const shown = name.length > maxQuotedName ? `${name.slice(0, maxQuotedName)}…` : name;
    this.#fail(this.#at, `duplicate member ${JSON.stringify(shown)}`);
  }

  #unexpected(at: number): never {
    if (at === this.#end) this.#fail(at, this.#end === 0 ? "empty text" : "unexpected end of text");
    const position = this.#source.toString("utf8", 0, at).length;
    // Python's json module writes these for floats that are not numbers.
    const [literal] = /^(NaN|Infinity)/.exec(this.#text.slice(position, position + 8)) ?? [];
    this.#fail(at, literal ? `${literal} is not JSON` : `unexpected character at position ${position}`);
  }

  #fail(at: number, problem: string): never {
    const segments: (string | number)[] = [];
    for (let level = 1; level <= this.#depth; level++) {
      const segment = this.#segments[level] as number;
      if (segment === noMember) break;
      segments.push(segment < 0 ? ~segment : stringAt(this.#source, segment));
    }
    throw new JsonProblem(this.#root, segments, this.#cut && at === this.#end ? "lone surrogate" : problem);
  }
}

const writer = new CanonicalWriter();
