/** The bytes of JSON syntax, and functions to navigate among them. Every text ends with a byte 0, see `endOfPlain`. */

export const tab = 0x09;
export const lineFeed = 0x0a;
export const carriageReturn = 0x0d;
export const space = 0x20;
export const quote = 0x22;
export const plus = 0x2b;
export const comma = 0x2c;
export const minus = 0x2d;
export const point = 0x2e;
export const slash = 0x2f;
export const zero = 0x30;
export const nine = 0x39;
export const colon = 0x3a;
export const openBracket = 0x5b;
export const backslash = 0x5c;
export const closeBracket = 0x5d;
export const letterE = 0x65;
export const letterF = 0x66;
export const letterN = 0x6e;
export const letterT = 0x74;
export const letterU = 0x75;
export const openBrace = 0x7b;
export const closeBrace = 0x7d;

/** The bit that is set in lower-case letters and clear in upper-case ones. */
export const lowerCase = 0x20;

/** 1 for bytes that stand for themselves in a string: all but quotes, backslashes and control characters. */
const plain = new Uint8Array(256).fill(1, space);
plain[quote] = 0;
plain[backslash] = 0;

/** 1 for bytes that may follow a backslash in a canonical text (RFC 8785, section 3.2.2.2). */
const canonicalEscape = new Uint8Array(256);
for (const letter of Buffer.from('"\\bfnrt')) canonicalEscape[letter] = 1;

/** The value of a hexadecimal digit, -1 for every other byte. */
const hexDigit = new Int8Array(256).fill(-1);
for (let value = 0; value < 16; value++) {
  hexDigit[value.toString(16).charCodeAt(0)] = value;
  hexDigit[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}

/** Whether a byte, or a character of one byte, stands for itself in a string. */
export function isPlain(byte: number): boolean {
  return plain[byte] === 1;
}

/**
 * Returns the position of the first byte, at or after a position, that does not stand for itself in a string. The byte
 * 0 at the end of the text is such a byte, so there always is one.
 */
export function endOfPlain(text: Buffer, from: number): number {
  let at = from;
  while (plain[text[at] as number] === 1) at++;
  return at;
}

/** Returns the value of the string at a position, which must be valid. */
export function stringAt(text: Buffer, start: number): string {
  let end = endOfPlain(text, start + 1);
  while (text[end] !== quote) end = endOfPlain(text, end + 2);
  return JSON.parse(text.toString("utf8", start, end + 1));
}

/** Whether a backslash and this byte are an escape that RFC 8785 keeps. */
export function isCanonicalEscape(byte: number): boolean {
  return canonicalEscape[byte] === 1;
}

/** Returns the UTF-16 unit of the four hexadecimal digits at a position; -1 if they are not four. */
export function hexUnit(text: Buffer, at: number): number {
  const a = hexDigit[text[at] as number] as number;
  const b = hexDigit[text[at + 1] as number] as number;
  const c = hexDigit[text[at + 2] as number] as number;
  const d = hexDigit[text[at + 3] as number] as number;
  return (a | b | c | d) < 0 ? -1 : (a << 12) | (b << 8) | (c << 4) | d;
}

/** Returns the position after the hexadecimal digits at a position, of which there may be none. */
export function endOfHex(text: Buffer, from: number): number {
  let at = from;
  while ((hexDigit[text[at] as number] as number) >= 0) at++;
  return at;
}

/**
 * Compares the strings at two positions by their UTF-16 units: negative if the first is less, 0 if they are equal.
 * Neither may contain an escape.
 */
export function compareStrings(text: Buffer, first: number, second: number): number {
  let one = first + 1;
  let other = second + 1;
  while (text[one] === text[other]) {
    if (text[one] === quote) return 0;
    one++;
    other++;
  }
  const a = text[one] as number;
  const b = text[other] as number;
  if (a === quote) return -1;
  if (b === quote) return 1;
  // UTF-8 sorts the same except for characters of four bytes: their surrogates come before U+E000, which is 0xee ...
  return a >= 0xee && b >= 0xee && a >= 0xf0 !== b >= 0xf0 ? b - a : a - b;
}
