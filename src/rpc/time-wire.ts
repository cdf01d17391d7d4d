import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type Instant, microsPerSecond, splitInstant } from "../db/instant.ts";
import { invalidField } from "../failure.ts";

/** Bounds of google.protobuf.Timestamp, in seconds: the years 1 to 9999. */
const minTimestampSeconds = -62_135_596_800n;
const maxTimestampSeconds = 253_402_300_799n;

/** Bound of google.protobuf.Duration, in seconds: about 10,000 years. */
const maxDurationSeconds = 315_576_000_000n;

/** Converts an instant to the wire. */
export function timestampToWire(instant: Instant): Timestamp {
  const { seconds, micros } = splitInstant(instant);
  return create(TimestampSchema, { seconds, nanos: Number(micros) * 1000 });
}

/**
 * Converts an instant from the wire, truncated to microseconds.
 *
 * @throws Failure INVALID_FIELD if it is not within the years 1 to 9999
 */
export function instantFromWire(field: string, { seconds, nanos }: Timestamp): Instant {
  if (seconds < minTimestampSeconds || seconds > maxTimestampSeconds || nanos < 0 || nanos > 999_999_999) {
    throw invalidField(field, "must be a time in the years 1 to 9999");
  }
  return seconds * microsPerSecond + BigInt(Math.floor(nanos / 1000));
}

/** Converts microseconds to the wire. */
export function durationToWire(micros: bigint): Duration {
  return create(DurationSchema, {
    seconds: micros / microsPerSecond,
    nanos: Number(micros % microsPerSecond) * 1000,
  });
}

/**
 * Converts a duration from the wire to microseconds, truncating finer parts.
 *
 * @throws Failure INVALID_FIELD if it is negative or not a duration
 */
export function durationFromWire(field: string, { seconds, nanos }: Duration): bigint {
  if (seconds < 0n || nanos < 0) throw invalidField(field, "must not be negative");
  if (seconds > maxDurationSeconds || nanos > 999_999_999)
    throw invalidField(field, "is not a valid duration");
  return seconds * microsPerSecond + BigInt(Math.floor(nanos / 1000));
}
