/**
 * Reads JSON strictly, by the rules of I-JSON (RFC 7493), and spells it canonically, by RFC 8785 (JCS), in one pass over
 * the UTF-8 bytes. Every item that is written goes through here, so the common case is cheap: what is canonical as it
 * stands is copied in long pieces, and no value is ever built. On the problems of GSM8K that takes about as long as
 * JSON.parse alone.
 */

/** How deep arrays and objects may nest. Part of the contract: every reader in any language has to bear this depth. */
const maxDepth = 128;

/**
 * Integers of up to so many digits are within ±(2^53-1), and decimals of up to so many significant digits survive a
 * double unchanged (DBL_DIG in C): both are canonical as they stand. One more and neither holds; one less and more numbers
 * than needed are converted back and forth, at 0.2 µs each.
 */
const exactDigits = 15;

/**
 * Pieces of up to so many bytes are copied one by one, longer ones by the engine, which takes some 40 ns to start. Far
 * lower slows spaced-out texts down, far higher slows long members down.
 */
const shortPiece = 24;

/**
 * Up to so many members are sorted by insertion, comparing bytes in place. More are decoded for the engine's sort, which
 * pays off from about 200 on. Below, decoding would dominate; above, the square of the count would.
 */
const fewMembers = 100;

/** Longest path of a problem, in characters. Errors travel in HTTP headers, which some stacks cap at 8 KiB in all. */
const maxPathLength = 1000;

/** Longest member name that a problem quotes, in characters, for the same reason. */
const maxNameLength = 100;

/** In the steps of a path: the object itself, none of its members. Greater than any position in a text. */
const noMember = 0x7fffffff;

const tab = 0x09;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const quote = 0x22;
const plus = 0x2b;
const comma = 0x2c;
const minus = 0x2d;
const point = 0x2e;
const slash = 0x2f;
const zero = 0x30;
const nine = 0x39;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const letterE = 0x65;
const letterF = 0x66;
const letterN = 0x6e;
const letterT = 0x74;
const letterU = 0x75;
const openBrace = 0x7b;
const closeBrace = 0x7d;
/** The bit by which lower-case ASCII letters differ from upper-case ones. */
const lowerCase = 0x20;

/** 1 for every byte that stands for itself in a string: all but quotes, backslashes and control characters. */
const plain = new Uint8Array(256).fill(1, space);
plain[quote] = 0;
plain[backslash] = 0;

/** 1 for what may follow a backslash and is canonical that way. */
const canonicalEscape = new Uint8Array(256);
for (const letter of Buffer.from('"\\bfnrt')) canonicalEscape[letter] = 1;

/** The value of each hexadecimal digit, -1 for all else. */
const hexDigit = new Int8Array(256).fill(-1);
for (let value = 0; value < 16; value++) {
  hexDigit[value.toString(16).charCodeAt(0)] = value;
  hexDigit[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}

/** Why a JSON text is refused. */
export class JsonProblem extends Error {
  override readonly name = "JsonProblem";
  /**
   * Where: the root that was given, then steps in the manner of RFC 9535 such as `.messages`, `[2]` and `['top-k']`. It
   * names the innermost value that had begun; for faults of member names, the object. What lies beyond 1,000 characters
   * is named by the nearest parent that does not.
   */
  readonly path: string;
  /** What, in words for people. Positions count UTF-16 units from the start of the text. */
  readonly problem: string;

  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}

/**
 * Gives the canonical form (RFC 8785) of a JSON text. Two texts mean the same exactly if their canonical forms are equal.
 *
 * Throws JsonProblem, its path starting with `root`, if the text is not JSON (RFC 8259, no byte order mark) or holds a
 * duplicate member name, a lone surrogate, an integer (no fraction, no exponent) outside ±(2^53-1), a number beyond the
 * range of a double, or more than 128 levels of arrays and objects. Apart from sorting members, it takes time in
 * proportion to the text, whatever the text is.
 */
export function canonicalize(text: string, root = ""): string {
  writer.clear();
  writer.appendJson(text, root);
  return writer.bytes().toString();
}

/**
 * Collects canonical JSON as UTF-8. Meant to be kept and used again: it holds on to buffers that suffice for the longest
 * text so far.
 */
export class CanonicalWriter {
  #text = "";
  #root = "";
  /** The text as UTF-8 and, at `#end`, a zero that stops every scan. */
  #source = Buffer.allocUnsafe(16 * 1024);
  #end = 0;
  /** How far the text is read. */
  #at = 0;
  /** Where the source begins that is canonical, read or being read, and not yet copied to the output. */
  #pending = 0;
  #output = Buffer.allocUnsafe(16 * 1024);
  #length = 0;
  #depth = 0;
  /** The way to `#at`: for each level the position of a member's name, `noMember`, or the complement of an index. */
  readonly #steps = new Int32Array(maxDepth + 1);
  /** For each member of the objects being read: the position of its name, and where it starts in the output. */
  #members = new Int32Array(256);
  #memberCount = 0;

  /** Starts anew. */
  clear(): void {
    this.#length = 0;
  }

  /** Appends bytes as they are. */
  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    const output = this.#output;
    let length = this.#length;
    for (let i = 0; i < bytes.length; i++) output[length++] = bytes[i] as number;
    this.#length = length;
  }

  /** Appends the canonical form of a text. Throws as `canonicalize` does, and leaves the output unusable then. */
  appendJson(text: string, root: string): void {
    this.#open(text, root);
    this.#value();
    this.#close();
  }

  /** The same for a text that has to be an object. Throws JsonProblem also if it is another value. */
  appendObject(text: string, root: string): void {
    this.#open(text, root);
    if (this.#source[this.#at] !== openBrace) this.#fail(this.#at, "has to be a JSON object");
    this.#object();
    this.#close();
  }

  /** What was appended. Valid until the next `clear`. */
  bytes(): Buffer {
    return this.#output.subarray(0, this.#length);
  }

  #open(text: string, root: string): void {
    this.#text = text;
    this.#root = root;
    // UTF-8 takes at most three bytes per UTF-16 unit; looking for an escape may read five bytes past the end.
    const bound = text.length * 3 + 8;
    if (bound > this.#source.length)
      this.#source = Buffer.allocUnsafe(Math.max(bound, 2 * this.#source.length));
    this.#end = this.#source.write(text);
    if (this.#end !== text.length && !text.isWellFormed()) {
      // What precedes the lone surrogate is read to learn its path, or of an earlier problem.
      this.#end = this.#source.write(text.slice(0, text.search(/\p{Surrogate}/u)));
    }
    this.#source[this.#end] = 0;
    this.#at = 0;
    this.#pending = 0;
    this.#depth = 0;
    this.#memberCount = 0;
    this.#space();
  }

  #close(): void {
    this.#space();
    if (this.#at < this.#end || !this.#text.isWellFormed()) this.#unexpected(this.#at);
    this.#settle(this.#at);
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
    const steps = this.#steps;
    const firstMember = this.#memberCount;
    let sorted = true;
    let escaped = false;
    let previous = -1;
    this.#enter();
    steps[this.#depth] = noMember;
    if (source[this.#at] === closeBrace) {
      this.#leave();
      return;
    }
    for (;;) {
      const name = this.#at;
      if (source[name] !== quote) this.#unexpected(name);
      this.#addMember(name);
      if (this.#string()) escaped = true;
      else if (sorted && !escaped && previous >= 0) sorted = compareNames(source, previous, name) < 0;
      previous = name;
      steps[this.#depth] = name;
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
      steps[this.#depth] = noMember;
      this.#space();
    }
    if (!sorted || escaped) this.#sortMembers(firstMember, escaped);
    this.#memberCount = firstMember;
    this.#leave();
  }

  #array(): void {
    const source = this.#source;
    const steps = this.#steps;
    this.#enter();
    steps[this.#depth] = ~0;
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
      // One less is the complement of one more.
      steps[this.#depth] = (steps[this.#depth] as number) - 1;
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

  /** Reads a string and tells whether it holds escapes. */
  #string(): boolean {
    const source = this.#source;
    let at = endOfPlain(source, this.#at + 1);
    let escaped = false;
    while (source[at] !== quote) {
      if (source[at] !== backslash) this.#unexpected(at);
      escaped = true;
      at = canonicalEscape[source[at + 1] as number] === 1 ? at + 2 : this.#escape(at);
      at = endOfPlain(source, at);
    }
    this.#at = at + 1;
    return escaped;
  }

  /** Respells the escape at a position, and gives the position after it. */
  #escape(start: number): number {
    const source = this.#source;
    let at = start + 2;
    let code: number = slash;
    if (source[start + 1] !== slash) {
      code = source[start + 1] === letterU ? hexUnit(source, at) : -1;
      if (code < 0) this.#unexpected(start + 1);
      at += 4;
      if (code >= 0xd800 && code < 0xe000) {
        const low = source[at] === backslash && source[at + 1] === letterU ? hexUnit(source, at + 2) : -1;
        if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000) this.#fail(start, "lone surrogate");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    this.#settle(start);
    this.#pending = at;
    this.#appendCharacter(code);
    return at;
  }

  #appendCharacter(code: number): void {
    this.#reserve(6);
    const output = this.#output;
    let length = this.#length;
    if (code < 0x80) {
      if (plain[code] === 1) output[length++] = code;
      // JSON.stringify escapes the same characters in the same way as RFC 8785, section 3.2.2.2.
      else length += output.write(JSON.stringify(String.fromCharCode(code)).slice(1, -1), length);
    } else {
      if (code < 0x800) output[length++] = 0xc0 | (code >> 6);
      else {
        if (code < 0x10000) output[length++] = 0xe0 | (code >> 12);
        else {
          output[length++] = 0xf0 | (code >> 18);
          output[length++] = 0x80 | ((code >> 12) & 0x3f);
        }
        output[length++] = 0x80 | ((code >> 6) & 0x3f);
      }
      output[length++] = 0x80 | (code & 0x3f);
    }
    this.#length = length;
  }

  #number(): void {
    const source = this.#source;
    const start = this.#at;
    const first = source[start] === minus ? start + 1 : start;
    let at = source[first] === zero ? first + 1 : this.#digits(first);
    let exact: boolean;
    const integer = source[at] !== point && ((source[at] as number) | lowerCase) !== letterE;
    if (integer) {
      // -0 is canonically 0.
      exact = at - first <= exactDigits && (first === start || source[first] !== zero);
    } else {
      exact = false;
      if (source[at] === point) {
        const fraction = at + 1;
        at = this.#digits(fraction);
        // RFC 8785 drops zeros at the end, and writes what is below 0.000001 with an exponent.
        exact =
          at - first - 1 <= exactDigits &&
          source[at - 1] !== zero &&
          (at - fraction <= 6 || source[first] !== zero || source[fraction] !== zero);
      }
      if (((source[at] as number) | lowerCase) === letterE) {
        const sign = source[at + 1];
        at = this.#digits(sign === plus || sign === minus ? at + 2 : at + 1);
        exact = false;
      }
    }
    if (!exact) this.#respellNumber(start, at, integer);
    this.#at = at;
  }

  /** Gives the position after the digits at a position, of which there has to be one. */
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
    if (integer && !Number.isSafeInteger(value)) this.#fail(start, "integer beyond 2^53-1");
    if (!Number.isFinite(value)) this.#fail(start, "number beyond the range of a double");
    // RFC 8785 defines the form of numbers as that of ECMAScript.
    const canonical = String(value);
    if (canonical === spelled) return;
    this.#settle(start);
    this.#pending = end;
    this.#reserve(canonical.length);
    this.#length += this.#output.write(canonical, this.#length);
  }

  #word(word: string): void {
    const source = this.#source;
    for (let i = 0; i < word.length; i++, this.#at++) {
      if (source[this.#at] !== word.charCodeAt(i)) this.#unexpected(this.#at);
    }
  }

  #space(): void {
    const source = this.#source;
    let code = source[this.#at] as number;
    if (code > space) return;
    let at = this.#at;
    while (code === space || code === lineFeed || code === carriageReturn || code === tab) {
      code = source[++at] as number;
    }
    if (at === this.#at) return;
    this.#settle(this.#at);
    this.#pending = at;
    this.#at = at;
  }

  /** Copies to the output what is canonical up to a position. */
  #settle(to: number): void {
    const from = this.#pending;
    if (from === to) return;
    this.#reserve(to - from);
    const source = this.#source;
    const output = this.#output;
    let length = this.#length;
    if (to - from > shortPiece) length += source.copy(output, length, from, to);
    else for (let at = from; at < to; at++) output[length++] = source[at] as number;
    this.#length = length;
    this.#pending = to;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#output.length) return;
    const output = Buffer.allocUnsafe(Math.max(needed, 2 * this.#output.length));
    this.#output.copy(output, 0, 0, this.#length);
    this.#output = output;
  }

  #addMember(name: number): void {
    let members = this.#members;
    const index = 2 * this.#memberCount++;
    if (index === members.length) {
      members = new Int32Array(2 * index);
      members.set(this.#members);
      this.#members = members;
    }
    members[index] = name;
    members[index + 1] = this.#length + name - this.#pending;
  }

  /** Puts the members of the object that is about to close in the order of their names. */
  #sortMembers(firstMember: number, escaped: boolean): void {
    this.#settle(this.#at);
    const members = this.#members;
    const start = members[2 * firstMember + 1] as number;
    const end = this.#length;
    const order = this.#orderMembers(firstMember, escaped);
    // They are taken from a second copy behind the first.
    const shift = end - start;
    this.#reserve(shift);
    const output = this.#output;
    output.copyWithin(end, start, end);
    let at = start;
    for (const member of order) {
      let from = shift + (members[2 * member + 1] as number);
      const to = shift + (member + 1 < this.#memberCount ? (members[2 * member + 3] as number) - 1 : end);
      if (at > start) output[at++] = comma;
      if (to - from > shortPiece) {
        output.copyWithin(at, from, to);
        at += to - from;
      } else while (from < to) output[at++] = output[from++] as number;
    }
  }

  #orderMembers(firstMember: number, escaped: boolean): number[] {
    const members = this.#members;
    const order: number[] = [];
    if (escaped || this.#memberCount - firstMember > fewMembers) {
      const names = new Map<number, string>();
      for (let member = firstMember; member < this.#memberCount; member++) {
        names.set(member, this.#nameAt(members[2 * member] as number));
        order.push(member);
      }
      const nameOf = (member: number) => names.get(member) as string;
      order.sort((one, other) => {
        // Strings compare by UTF-16 units, as RFC 8785 asks. A sort compares all neighbours, so that it meets duplicates.
        if (nameOf(one) === nameOf(other)) this.#failDuplicate(one);
        return nameOf(one) < nameOf(other) ? -1 : 1;
      });
      return order;
    }
    for (let member = firstMember; member < this.#memberCount; member++) {
      const name = members[2 * member] as number;
      let place = order.length;
      for (; place > 0; place--) {
        const before = order[place - 1] as number;
        const difference = compareNames(this.#source, members[2 * before] as number, name);
        if (difference === 0) this.#failDuplicate(member);
        if (difference < 0) break;
        order[place] = before;
      }
      order[place] = member;
    }
    return order;
  }

  /** The member name at a position, which is valid. */
  #nameAt(start: number): string {
    const source = this.#source;
    let end = endOfPlain(source, start + 1);
    while (source[end] !== quote) end = endOfPlain(source, end + 2);
    return JSON.parse(source.toString("utf8", start, end + 1));
  }

  #failDuplicate(member: number): never {
    this.#steps[this.#depth] = noMember;
    const name = this.#nameAt(this.#members[2 * member] as number);
    const shown = name.length > maxNameLength ? `${name.slice(0, maxNameLength).toWellFormed()}…` : name;
    this.#fail(this.#at, `duplicate member ${JSON.stringify(shown)}`);
  }

  #unexpected(at: number): never {
    const position = this.#source.toString("utf8", 0, at).length;
    if (at === this.#end) this.#fail(at, this.#text.length === 0 ? "empty text" : "unexpected end of text");
    const [notANumber] = /^(NaN|Infinity)/.exec(this.#text.slice(position, position + 8)) ?? [];
    if (notANumber !== undefined) this.#fail(at, `${notANumber} is not JSON`);
    this.#fail(at, `unexpected character at position ${position}`);
  }

  #fail(at: number, problem: string): never {
    // The text was cut short at a lone surrogate.
    const found = at === this.#end && !this.#text.isWellFormed() ? "lone surrogate" : problem;
    let path = this.#root;
    for (let level = 1; level <= this.#depth; level++) {
      const step = this.#steps[level] as number;
      if (step === noMember) break;
      const longer = path + (step < 0 ? `[${~step}]` : memberStep(this.#nameAt(step)));
      if (longer.length > maxPathLength) break;
      path = longer;
    }
    throw new JsonProblem(path, found);
  }
}

const writer = new CanonicalWriter();

/** The position of the first byte from a position on that does not stand for itself in a string. */
function endOfPlain(source: Buffer, from: number): number {
  let at = from;
  while (plain[source[at] as number] === 1) at++;
  return at;
}

/** The UTF-16 unit that four hexadecimal digits stand for; negative if they are none. */
function hexUnit(source: Buffer, at: number): number {
  const a = hexDigit[source[at] as number] as number;
  const b = hexDigit[source[at + 1] as number] as number;
  const c = hexDigit[source[at + 2] as number] as number;
  const d = hexDigit[source[at + 3] as number] as number;
  return (a | b | c | d) < 0 ? -1 : (a << 12) | (b << 8) | (c << 4) | d;
}

/**
 * Compares the member names at two positions by their UTF-16 units: negative if the first is less, 0 if they are equal.
 * Neither may hold escapes.
 */
function compareNames(source: Buffer, one: number, other: number): number {
  for (;;) {
    const a = source[++one] as number;
    const b = source[++other] as number;
    if (a === b) {
      if (a === quote) return 0;
      continue;
    }
    if (a === quote) return -1;
    if (b === quote) return 1;
    // The order of UTF-8, but for what takes four bytes: in UTF-16 its surrogates come before U+E000 (0xee in UTF-8).
    return a >= 0xee && b >= 0xee && a >= 0xf0 !== b >= 0xf0 ? b - a : a - b;
  }
}

/** A step to a member as in RFC 9535: the short form where it is allowed, else that of normalized paths. */
function memberStep(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `.${name}`;
  const escaped = name.replace(/[^ -&(-[\]-\uffff]/g, (character) =>
    character === "'" ? "\\'" : JSON.stringify(character).slice(1, -1),
  );
  return `['${escaped}']`;
}
