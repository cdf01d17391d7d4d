import { InvalidArgumentError } from "commander";

/** Parses a whole number, 0 or more. @throws InvalidArgumentError */
export function count(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError("It must be a whole number.");
  return value;
}

/** Parses a share, 0 to 1 or in percent: `0.1`, `10%`. @throws InvalidArgumentError */
export function share(text: string): number {
  const [, digits = "", percent] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text) ?? [];
  const value = Number(digits) / (percent === "%" ? 100 : 1);
  if (digits === "" || value > 1) throw new InvalidArgumentError("It must be a share such as 0.1 or 10%.");
  return value;
}

/** Parses a finite number. @throws InvalidArgumentError */
export function decimal(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

/** Parses comma-separated names. @throws InvalidArgumentError */
export function names(text: string): string[] {
  const found = text.split(",").map((name) => name.trim());
  if (found.includes("")) throw new InvalidArgumentError("It must be a list of comma-separated names.");
  return found;
}

/** Collects the values of an option that may be repeated. */
export function collect<T>(
  parse: (text: string) => T,
): (text: string, before: readonly T[] | undefined) => T[] {
  return (text, before = []) => [...before, parse(text)];
}
