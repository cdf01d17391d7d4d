import { losesDigits } from "./integer-digits.ts";
import { JsonProblem } from "./json-problem.ts";
import { type Json, maxDepth } from "./json-value.ts";

/**
 * Reads a JSON text strictly, by the rules of the contract (I-JSON).
 *
 * @throws JsonProblem if the text is not JSON or contains a duplicate member name, a lone surrogate, an integer (no fraction,
 * no exponent) that loses digits as a double, a number beyond the range of a double, or more than 128 levels. Its path starts with
 * `root`.
 */
export function readJsonText(text: string, root: string): Json {
  return new Reader(text, root).read();
}

/**
 * Reads a JSON text that is known to be valid, such as a payload that a server returned.
 *
 * V8 may mistake an escaped name for another once it has seen one that ends with a backslash (nodejs/node#63785), so texts
 * with such names take the slow path.
 */
export function parseJson(text: string): Json {
  return /(?:\\\\|\\u005c)"\s*:/i.test(text) ? readJsonText(text, "$") : JSON.parse(text);
}

const spaces = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a JSON string must not contain control characters.
const plainCharacters = /[^"\\\u0000-\u001f]*/y;
const numbers = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Reader {
  readonly #text: string;
  readonly #root: string;
  readonly #segments: (string | number)[] = [];
  #at = 0;

  constructor(text: string, root: string) {
    this.#text = text;
    this.#root = root;
  }

  read(): Json {
    this.#take(spaces);
    const value = this.#value(0);
    this.#take(spaces);
    if (this.#at < this.#text.length) this.#unexpected();
    return value;
  }

  #value(depth: number): Json {
    switch (this.#text[this.#at]) {
      case '"':
        return this.#string();
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): Json {
    this.#enter(depth);
    // Without a prototype, `__proto__` is a name like any other.
    const object: Record<string, Json> = Object.create(null);
    if (this.#skip("}")) return object;
    for (;;) {
      if (this.#text[this.#at] !== '"') this.#unexpected();
      const name = this.#string();
      if (Object.hasOwn(object, name)) this.#fail(`duplicate member ${JSON.stringify(name.slice(0, 100))}`);
      this.#segments.push(name);
      this.#take(spaces);
      if (!this.#skip(":")) this.#unexpected();
      this.#take(spaces);
      object[name] = this.#value(depth + 1);
      this.#take(spaces);
      const goesOn = this.#goesOn("}");
      this.#segments.pop();
      if (!goesOn) return object;
      this.#take(spaces);
    }
  }

  #array(depth: number): Json {
    this.#enter(depth);
    const array: Json[] = [];
    if (this.#skip("]")) return array;
    for (;;) {
      this.#segments.push(array.length);
      array.push(this.#value(depth + 1));
      this.#take(spaces);
      const goesOn = this.#goesOn("]");
      this.#segments.pop();
      if (!goesOn) return array;
      this.#take(spaces);
    }
  }

  #enter(depth: number): void {
    if (depth === maxDepth) this.#fail(`more than ${maxDepth} levels`);
    this.#at++;
    this.#take(spaces);
  }

  #goesOn(close: string): boolean {
    if (this.#skip(",")) return true;
    if (!this.#skip(close)) this.#unexpected();
    return false;
  }

  #string(): string {
    this.#at++;
    let string = this.#take(plainCharacters);
    while (!this.#skip('"')) {
      if (!this.#skip("\\")) this.#unexpected();
      string += this.#escape();
      string += this.#take(plainCharacters);
    }
    if (!string.isWellFormed()) this.#fail("lone surrogate");
    return string;
  }

  #escape(): string {
    const letter = this.#text[this.#at] ?? "";
    if (letter === "u") {
      const digits = this.#text.slice(this.#at + 1, this.#at + 5);
      if (!/^[\da-fA-F]{4}$/.test(digits)) this.#unexpected();
      this.#at += 5;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const character = escapes[letter];
    if (character === undefined) this.#unexpected();
    this.#at++;
    return character;
  }

  #number(): number {
    numbers.lastIndex = this.#at;
    const match = numbers.exec(this.#text);
    if (match === null) this.#unexpected();
    const [spelled, fraction, exponent] = match;
    const value = Number(spelled);
    if (!Number.isFinite(value)) this.#fail("number beyond the range of a double");
    if (fraction === undefined && exponent === undefined && losesDigits(spelled, value)) {
      this.#fail("integer that loses digits as a double");
    }
    this.#at += spelled.length;
    return value;
  }

  #word<W extends Json>(word: string, value: W): W {
    if (!this.#text.startsWith(word, this.#at)) this.#unexpected();
    this.#at += word.length;
    return value;
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  /** Consumes and returns the match of a sticky expression, which may be empty. */
  #take(expression: RegExp): string {
    expression.lastIndex = this.#at;
    const [taken = ""] = expression.exec(this.#text) ?? [];
    this.#at += taken.length;
    return taken;
  }

  #unexpected(): never {
    const [literal] = /^-?(NaN|Infinity)/.exec(this.#text.slice(this.#at, this.#at + 9)) ?? [];
    if (literal !== undefined) this.#fail(`${literal} is not JSON`);
    if (this.#text === "") this.#fail("empty text");
    if (this.#at >= this.#text.length) this.#fail("unexpected end of text");
    this.#fail(`unexpected character at position ${this.#at}`);
  }

  #fail(problem: string): never {
    throw new JsonProblem(this.#root, this.#segments, problem);
  }
}
