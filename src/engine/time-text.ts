/** A point in time or a day of the engine, which has infinite ones. */
interface Temporal {
  readonly isFinite: boolean;
}

const nanosPerSecond = 1_000_000_000n;
const secondsPerDay = 86_400n;

/** `2026-01-31T23:59:59.123Z`. A time without a zone counts as UTC, as in the engine's own conversions. */
export function timestampText(value: Temporal & { toString(): string }, nanos: bigint): string {
  if (!value.isFinite) return nanos < 0n ? "-Infinity" : "Infinity";
  const nanosPerDay = secondsPerDay * nanosPerSecond;
  const ofDay = ((nanos % nanosPerDay) + nanosPerDay) % nanosPerDay;
  return `${dayText((nanos - ofDay) / nanosPerDay)}T${timeText(ofDay)}Z`;
}

/** `2026-01-31`. */
export function dateText(value: Temporal & { readonly days: number }): string {
  if (!value.isFinite) return value.days < 0 ? "-Infinity" : "Infinity";
  return dayText(BigInt(value.days));
}

/** `23:59:59.123`, with 0, 3, 6 or 9 digits after the point. */
export function timeText(nanos: bigint): string {
  const seconds = nanos / nanosPerSecond;
  const two = (value: bigint) => value.toString().padStart(2, "0");
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`;
  return clock + fractionText(nanos % nanosPerSecond);
}

/** `+02:00`; with seconds if they are not zero. */
export function offsetText(seconds: number): string {
  const sign = seconds < 0 ? "-" : "+";
  const all = Math.abs(seconds);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  const rest = all % 60 === 0 ? "" : `:${two(all % 60)}`;
  return `${sign}${two(all / 3600)}:${two((all / 60) % 60)}${rest}`;
}

/** `P1Y2M3DT4H5M6.789S`, the durations of RFC 3339, appendix A. Parts of an interval may be negative. */
export function durationText(value: {
  readonly months: number;
  readonly days: number;
  readonly micros: bigint;
}): string {
  const part = (amount: number | bigint, unit: string) =>
    amount === 0 || amount === 0n ? "" : `${amount}${unit}`;
  const date =
    part(Math.trunc(value.months / 12), "Y") + part(value.months % 12, "M") + part(value.days, "D");
  const magnitude = value.micros < 0n ? -value.micros : value.micros;
  const sign = value.micros < 0n ? "-" : "";
  const seconds = magnitude / 1_000_000n;
  const signed = (amount: bigint, unit: string) => (amount === 0n ? "" : `${sign}${amount}${unit}`);
  const fraction = fractionText((magnitude % 1_000_000n) * 1000n);
  const last = seconds % 60n > 0n || fraction !== "" ? `${sign}${seconds % 60n}${fraction}S` : "";
  const time = signed(seconds / 3600n, "H") + signed((seconds / 60n) % 60n, "M") + last;
  if (time !== "") return `P${date}T${time}`;
  return date === "" ? "PT0S" : `P${date}`;
}

function fractionText(nanos: bigint): string {
  if (nanos === 0n) return "";
  const digits = nanos.toString().padStart(9, "0");
  return `.${digits.replace(/(000){1,2}$/, "")}`;
}

/** A day since 1970 in the proleptic Gregorian calendar. Years beyond four digits get a sign, as in ISO 8601. */
function dayText(days: bigint): string {
  // Days to civil date by eras of 400 years (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
  const shifted = days + 719_468n;
  const era = (shifted >= 0n ? shifted : shifted - 146_096n) / 146_097n;
  const ofEra = Number(shifted - era * 146_097n);
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * ofYear + 2) / 153);
  const day = ofYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = Number(era) * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  const two = (value: number) => String(value).padStart(2, "0");
  const years =
    year >= 0 && year <= 9999
      ? String(year).padStart(4, "0")
      : `${year < 0 ? "-" : "+"}${String(Math.abs(year)).padStart(6, "0")}`;
  return `${years}-${two(month)}-${two(day)}`;
}
