import {
  DuckDBArrayType,
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBIntervalValue,
  DuckDBListType,
  DuckDBListValue,
  DuckDBMapType,
  DuckDBMapValue,
  DuckDBStructType,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeTZValue,
  DuckDBTimeValue,
  type DuckDBType,
  DuckDBUUIDValue,
  type DuckDBValue,
} from "@duckdb/node-api";
import { losesDigits } from "../json/integer-digits.ts";
import { present } from "../present.ts";
import { dateText, durationText, offsetText, timestampText, timeText } from "./time-text.ts";

/** A value, or a type, has no JSON form. The message says which: `NaN has no JSON form`. */
export class NoItemJsonForm extends Error {
  override readonly name = "NoItemJsonForm";
}

/** Decimals of at most this many significant digits survive a double unchanged (DBL_DIG in C). */
const exactDigits = 15;

/**
 * Returns the JSON text of a value of a Parquet file. Nothing is lost: numbers that a double cannot hold become texts
 * of their digits. Times and days are spelled as in RFC 3339, those without a zone without one, and durations as in its
 * appendix A; bytes are base64; lists become arrays, structs and maps objects.
 *
 * @throws NoItemJsonForm for NaN, infinities, and values without any JSON form
 */
export function jsonOfValue(value: DuckDBValue, type: DuckDBType): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value)) throw new NoItemJsonForm(`${value} has no JSON form`);
      return JSON.stringify(value);
    case "bigint":
      return integerText(value);
    case "boolean":
      return String(value);
    default:
      return value === null ? "null" : objectText(value, type);
  }
}

/** Ensures that the values of a type keep all their members. @throws NoItemJsonForm */
export function requireJsonForm(type: DuckDBType): void {
  if (type instanceof DuckDBListType || type instanceof DuckDBArrayType) requireJsonForm(type.valueType);
  if (type instanceof DuckDBMapType) requireJsonForm(type.valueType);
  if (!(type instanceof DuckDBStructType)) return;
  const { entryNames } = type;
  // The driver makes objects of structs, which lose a member __proto__, and one of two members with the same name.
  if (entryNames.includes("__proto__") || new Set(entryNames).size < entryNames.length) {
    throw new NoItemJsonForm("a struct has two members with the same name, or one called __proto__");
  }
  for (const entryType of type.entryTypes) requireJsonForm(entryType);
}

function objectText(
  value: Exclude<DuckDBValue, null | string | number | bigint | boolean>,
  type: DuckDBType,
): string {
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) {
    const { valueType } = type as DuckDBListType | DuckDBArrayType;
    return `[${value.items.map((item) => jsonOfValue(item, valueType)).join(",")}]`;
  }
  if (value instanceof DuckDBStructValue) {
    const { entryNames, entryTypes } = type as DuckDBStructType;
    const members = entryNames.map((name, at) => {
      return `${JSON.stringify(name)}:${jsonOfValue(value.entries[name] ?? null, present(entryTypes[at]))}`;
    });
    return `{${members.join(",")}}`;
  }
  if (value instanceof DuckDBMapValue) return mapText(value, type as DuckDBMapType);
  if (value instanceof DuckDBDecimalValue) return decimalText(value);
  if (value instanceof DuckDBBlobValue) return `"${Buffer.from(value.bytes).toString("base64")}"`;
  if (value instanceof DuckDBUUIDValue) return `"${value}"`;
  return `"${temporalText(value, type)}"`;
}

function temporalText(value: unknown, type: DuckDBType): string {
  if (value instanceof DuckDBTimestampTZValue)
    return finite(value, timestampText(value, value.micros * 1000n));
  if (value instanceof DuckDBTimestampValue) return local(value, value.micros * 1000n);
  if (value instanceof DuckDBTimestampMillisecondsValue) return local(value, value.millis * 1_000_000n);
  if (value instanceof DuckDBTimestampSecondsValue) return local(value, value.seconds * 1_000_000_000n);
  if (value instanceof DuckDBTimestampNanosecondsValue) return local(value, value.nanos);
  if (value instanceof DuckDBDateValue) return finite(value, dateText(value));
  if (value instanceof DuckDBTimeValue) return timeText(value.micros * 1000n);
  if (value instanceof DuckDBTimeTZValue) return timeText(value.micros * 1000n) + offsetText(value.offset);
  if (value instanceof DuckDBIntervalValue) return durationText(value);
  throw new NoItemJsonForm(`values of type ${type} have no JSON form`);
}

/** A time without a zone. */
function local(value: { readonly isFinite: boolean }, nanos: bigint): string {
  return finite(value, timestampText(value, nanos)).replace(/Z$/, "");
}

function finite(value: { readonly isFinite: boolean }, text: string): string {
  if (!value.isFinite) throw new NoItemJsonForm(`the time ${text} has no JSON form`);
  return text;
}

function integerText(value: bigint): string {
  const digits = String(value);
  const double = Number(value);
  return Number.isFinite(double) && !losesDigits(digits, double) ? digits : `"${digits}"`;
}

/** A decimal with the digits of its scale: `1.50`. */
function decimalText(value: DuckDBDecimalValue): string {
  if (value.scale === 0) return integerText(value.value);
  const digits = (value.value < 0n ? -value.value : value.value).toString().length;
  return digits <= exactDigits ? value.toString() : `"${value}"`;
}

/** Keys that are not texts become the texts of their JSON. */
function mapText({ entries }: DuckDBMapValue, { keyType, valueType }: DuckDBMapType): string {
  const members = entries.map(({ key, value }) => {
    const json = jsonOfValue(key, keyType);
    return `${json.startsWith('"') ? json : JSON.stringify(json)}:${jsonOfValue(value, valueType)}`;
  });
  return `{${members.join(",")}}`;
}
