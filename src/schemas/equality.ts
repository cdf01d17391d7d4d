import type { JsonValue } from "../json/json-value.ts";
import { present } from "../present.ts";

/** Returns a text that two values share if and only if JSON Schema calls them equal: numbers by value, objects in any order. */
export function identityOf(value: JsonValue): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(identityOf).join()}]`;
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${identityOf(present(value[name]))}`).join()}}`;
}

/** Whether a number is a multiple of another, by the decimals they are written as: 0.3 is a multiple of 0.1. */
export function isMultiple(value: number, divisor: number): boolean {
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0;
  const [digits, exponent] = decimalOf(value);
  const [divisorDigits, divisorExponent] = decimalOf(divisor);
  const common = Math.min(exponent, divisorExponent);
  // Exponents of doubles differ by less than 650, so these have a few hundred digits at most.
  return (
    (digits * 10n ** BigInt(exponent - common)) %
      (divisorDigits * 10n ** BigInt(divisorExponent - common)) ===
    0n
  );
}

/** A number as an integer and a power of ten: 1.5 is 15 and -1. */
function decimalOf(value: number): [digits: bigint, exponent: number] {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  return [BigInt(whole + fraction), Number(exponent) - fraction.length];
}
