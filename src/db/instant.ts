/**
 * A point in time: microseconds since 1970-01-01T00:00:00Z, the precision of PostgreSQL. A `Date` would lose three
 * digits, and two versions can be that close.
 */
export type Instant = bigint;

/** Microseconds in a second. */
export const microsPerSecond = 1_000_000n;

/** Returns the current time, by the clock of this process. */
export function now(): Instant {
  return BigInt(Date.now()) * 1000n;
}

/** Returns whole seconds since 1970, rounded down, and the microseconds beyond them. */
export function splitInstant(instant: Instant): { readonly seconds: bigint; readonly micros: bigint } {
  const micros = ((instant % microsPerSecond) + microsPerSecond) % microsPerSecond;
  return { seconds: (instant - micros) / microsPerSecond, micros };
}

/** Reads PostgreSQL's form of a timestamptz in time zone UTC: `2026-01-31 23:59:59.123456+00`. */
export function instantFromSql(text: string): Instant {
  const [moment = "", fraction = ""] = text.replace(/\+00(:00)?$/, "").split(".");
  const milliseconds = Date.parse(`${moment.replace(" ", "T")}Z`);
  return BigInt(milliseconds) * 1000n + BigInt(fraction.padEnd(6, "0"));
}

/** Writes an instant in a form that PostgreSQL reads, keeping microseconds. */
export function instantToSql(instant: Instant): string {
  const { seconds, micros } = splitInstant(instant);
  const iso = new Date(Number(seconds) * 1000).toISOString();
  return iso.replace(/\.\d{3}Z$/, `.${micros.toString().padStart(6, "0")}Z`);
}
