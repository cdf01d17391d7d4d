import { backslash, colon, quote, space } from "./json-bytes.ts";

/** The value of a JSON text. Objects have their members as own properties, even those named like `__proto__`. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;

export interface JsonObject {
  [name: string]: JsonValue;
}

/**
 * Returns the value of a JSON text that `canonicalize` accepts: a payload, a schema, metadata. Replaces JSON.parse
 * wherever a text comes from a caller.
 *
 * JSON.parse of this V8 mistakes some member names with escapes for other names that it has seen before, in the same
 * text or in any other (nodejs/node#63785). Texts without such names, nearly all there are, are safe with it.
 */
export function parseJson(text: string): JsonValue {
  return hasEscapedName(text) ? new Reader(text).read() : JSON.parse(text);
}

/** Whether a member name contains an escape. Looks only at strings that contain a backslash. */
function hasEscapedName(text: string): boolean {
  let at = text.indexOf("\\");
  while (at >= 0) {
    const end = endOfString(text, at);
    if (text.charCodeAt(endOfSpace(text, end)) === colon) return true;
    at = text.indexOf("\\", end);
  }
  return false;
}

/** Returns the position after the string that contains a position. */
function endOfString(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) return at + 1;
    if (code === backslash) at++;
  }
  return text.length;
}

/** Returns the position after white space. Outside of strings, nothing else in JSON is at or below U+0020. */
function endOfSpace(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) <= space) at++;
  return at;
}

/** Reads a text token by token. Some ten times slower than JSON.parse, which still decodes each string. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): JsonValue {
    switch (this.#peek()) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case '"':
        return this.#string();
      default:
        return this.#literal();
    }
  }

  #object(): JsonObject {
    const object: JsonObject = {};
    this.#at++;
    while (this.#peek() !== "}") {
      const name = this.#string();
      this.#skip(":");
      // Assigning to __proto__ would change the prototype instead.
      Object.defineProperty(object, name, {
        value: this.read(),
        configurable: true,
        enumerable: true,
        writable: true,
      });
      this.#skip(",");
    }
    this.#at++;
    return object;
  }

  #array(): JsonValue[] {
    const array: JsonValue[] = [];
    this.#at++;
    while (this.#peek() !== "]") {
      array.push(this.read());
      this.#skip(",");
    }
    this.#at++;
    return array;
  }

  #string(): string {
    const start = this.#at;
    this.#at = endOfString(this.#text, start + 1);
    return JSON.parse(this.#text.slice(start, this.#at));
  }

  /** A number or a word. */
  #literal(): JsonValue {
    const start = this.#at;
    while (/[-+.\w]/.test(this.#text.charAt(this.#at))) this.#at++;
    return JSON.parse(this.#text.slice(start, this.#at));
  }

  #peek(): string {
    this.#at = endOfSpace(this.#text, this.#at);
    return this.#text.charAt(this.#at);
  }

  /** Skips a character if it is next, and white space on both sides. */
  #skip(sign: string): void {
    if (this.#peek() === sign) this.#at++;
    this.#peek();
  }
}
