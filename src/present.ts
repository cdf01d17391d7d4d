/** Returns a value that exists by construction. @throws Error if it is missing, which is a bug. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a required value is missing");
  return value;
}
