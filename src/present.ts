/** Returns a value that is there by construction. @throws Error if it is not, which is a fault of the program. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a value that must be there is missing");
  return value;
}
