import {
  DuckDBArrayType,
  DuckDBArrayValue,
  DuckDBBitValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBGeometryValue,
  DuckDBIntervalValue,
  DuckDBListType,
  DuckDBListValue,
  DuckDBMapType,
  DuckDBMapValue,
  DuckDBStructType,
  DuckDBStructValue,
  DuckDBTimeNSValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeTZValue,
  DuckDBTimeValue,
  type DuckDBType,
  DuckDBTypeId,
  DuckDBUnionType,
  DuckDBUnionValue,
  DuckDBUUIDValue,
  type DuckDBValue,
  DuckDBVariantValue,
} from "@duckdb/node-api";
import { dateText, durationText, offsetText, timestampText, timeText } from "./time-text.ts";

/** A value cannot be written as JSON; the message says which and what to do. */
export class NoJsonForm extends Error {
  override readonly name = "NoJsonForm";
}

/**
 * Returns a value as JSON, in the contract's form for rows of an answer: numbers with all their digits, NaN and
 * infinities as texts, times by RFC 3339, durations by its appendix A, blobs in base64, lists as arrays, structs and
 * maps as objects. Values of type JSON stay as they are.
 */
export function jsonText(value: DuckDBValue, type: DuckDBType | undefined): string {
  switch (typeof value) {
    case "string":
      return type?.alias === "JSON" ? embedded(value) : JSON.stringify(value);
    case "number":
      return type?.typeId === DuckDBTypeId.FLOAT ? floatText(value) : numberText(value);
    case "bigint":
    case "boolean":
      return String(value);
    default:
      return value === null || value === undefined ? "null" : objectText(value, type);
  }
}

function objectText(
  value: Exclude<DuckDBValue, null | string | number | bigint | boolean>,
  type: DuckDBType | undefined,
) {
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) {
    const itemType =
      type instanceof DuckDBListType || type instanceof DuckDBArrayType ? type.valueType : undefined;
    return `[${value.items.map((item) => jsonText(item, itemType)).join(",")}]`;
  }
  if (value instanceof DuckDBStructValue) return structText(value, type);
  if (value instanceof DuckDBMapValue) return mapText(value, type);
  if (value instanceof DuckDBUnionValue) {
    return jsonText(
      value.value,
      type instanceof DuckDBUnionType ? type.memberTypeForTag(value.tag) : undefined,
    );
  }
  if (value instanceof DuckDBVariantValue) return jsonText(value.value, value.type);
  // A decimal is written with the digits of its scale, which is a JSON number.
  if (value instanceof DuckDBDecimalValue) return value.toString();
  if (value instanceof DuckDBBlobValue || value instanceof DuckDBGeometryValue) {
    return `"${Buffer.from(value.bytes).toString("base64")}"`;
  }
  if (value instanceof DuckDBUUIDValue || value instanceof DuckDBBitValue) return `"${value}"`;
  return `"${temporalText(value)}"`;
}

function temporalText(value: unknown): string {
  if (value instanceof DuckDBTimestampTZValue || value instanceof DuckDBTimestampValue) {
    return timestampText(value, value.micros * 1000n);
  }
  if (value instanceof DuckDBDateValue) return dateText(value);
  if (value instanceof DuckDBTimeValue) return timeText(value.micros * 1000n);
  if (value instanceof DuckDBTimestampNanosecondsValue) return timestampText(value, value.nanos);
  if (value instanceof DuckDBTimestampMillisecondsValue)
    return timestampText(value, value.millis * 1_000_000n);
  if (value instanceof DuckDBTimestampSecondsValue)
    return timestampText(value, value.seconds * 1_000_000_000n);
  if (value instanceof DuckDBTimeTZValue) return timeText(value.micros * 1000n) + offsetText(value.offset);
  if (value instanceof DuckDBTimeNSValue) return timeText(value.nanos);
  if (value instanceof DuckDBIntervalValue) return durationText(value);
  throw new Error("a value of a type that the engine did not have when this was written");
}

function structText({ entries }: DuckDBStructValue, type: DuckDBType | undefined): string {
  const known = type instanceof DuckDBStructType ? type : undefined;
  const names = known?.entryNames ?? Object.keys(entries);
  // In the objects that the engine's driver makes, both would lose data.
  if (names.includes("__proto__")) {
    throw new NoJsonForm("a struct with a member __proto__ cannot be returned; cast it to JSON");
  }
  if (names.length > 1 && names.every((name) => name === "")) {
    throw new NoJsonForm("a row without names cannot be returned; name its members, as in {'a': 1}");
  }
  const members = names.map(
    (name, at) => `${JSON.stringify(name)}:${jsonText(entries[name] ?? null, known?.entryTypes[at])}`,
  );
  return `{${members.join(",")}}`;
}

/** Keys that are not texts become the texts of their JSON. */
function mapText({ entries }: DuckDBMapValue, type: DuckDBType | undefined): string {
  const known = type instanceof DuckDBMapType ? type : undefined;
  const members = entries.map(({ key, value }) => {
    const name = typeof key === "string" ? key : jsonText(key, known?.keyType).replace(/^"(.*)"$/, "$1");
    return `${JSON.stringify(name)}:${jsonText(value, known?.valueType)}`;
  });
  return `{${members.join(",")}}`;
}

/**
 * A JSON text within another. The engine takes some texts for JSON that are not, such as `NaN` and `[1,]`: those become
 * texts.
 */
function embedded(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(text);
  }
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  return Object.is(value, -0) ? "-0" : String(value);
}

/** The shortest digits that return the same value of 32 bits; those of the double that holds it would be noise. */
function floatText(value: number): string {
  if (!Number.isFinite(value) || value === 0) return numberText(value);
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}
