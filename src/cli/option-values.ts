import { InvalidArgumentError } from "commander";

/** A whole number from 0, as an option takes it. */
export function count(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError("It is no whole number.");
  return value;
}

/** A share, 0 to 1, or in percent: `0.1`, `10%`. */
export function share(text: string): number {
  const [, digits = "", percent] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text) ?? [];
  const value = Number(digits) / (percent === "%" ? 100 : 1);
  if (digits === "" || value > 1) throw new InvalidArgumentError("It is no share such as 0.1 or 10%.");
  return value;
}

/** A number. */
export function decimal(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It is no number.");
  return value;
}

/** Names parted by commas. */
export function names(text: string): string[] {
  const found = text.split(",").map((name) => name.trim());
  if (found.includes("")) throw new InvalidArgumentError("It is no list of names parted by commas.");
  return found;
}

/** Collects an option that may be given several times. */
export function collect<T>(
  parse: (text: string) => T,
): (text: string, before: readonly T[] | undefined) => T[] {
  return (text, before = []) => [...before, parse(text)];
}
