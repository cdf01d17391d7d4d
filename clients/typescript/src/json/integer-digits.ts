/**
 * Returns whether an integer literal (no fraction, no exponent) loses digits as a double: neither does its value equal the
 * double, as that of 9007199254740994 does, nor is it the text that ECMAScript prints for that double, as
 * 1152921504606847000 is. So the canonical form of an accepted integer (RFC 8785, which prints as ECMAScript does) is
 * accepted as well, and what one client reads another can write back.
 *
 * @param value The finite double that the literal denotes.
 */
export function losesDigits(literal: string, value: number): boolean {
  return !Number.isSafeInteger(value) && String(value) !== literal && BigInt(literal) !== BigInt(value);
}
