import { create } from "@bufbuild/protobuf";
import { DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  durationFromWire,
  durationToWire,
  instantFromWire,
  timestampToWire,
} from "../../src/rpc/time-wire.ts";

const invalid = expect.objectContaining({ reason: "INVALID_FIELD" });
const firstMicro = -62_135_596_800_000_000n;
const lastMicro = 253_402_300_799_999_999n;

describe("an instant", () => {
  test("keeps its microseconds on the way to the wire and back, before 1970 as well", () => {
    fc.assert(
      fc.property(fc.bigInt(firstMicro, lastMicro), (instant) => {
        const wire = timestampToWire(instant);
        expect(wire.nanos).toBeGreaterThanOrEqual(0);
        expect(instantFromWire("as_of", wire)).toBe(instant);
      }),
    );
  });

  test("is truncated to microseconds", () => {
    const wire = create(TimestampSchema, { seconds: -1n, nanos: 999_999_999 });
    expect(instantFromWire("as_of", wire)).toBe(-1n);
  });

  test.each([
    [-62_135_596_801n, 0],
    [253_402_300_800n, 0],
    [0n, -1],
    [0n, 1_000_000_000],
  ])("of %i seconds and %i nanoseconds is refused", (seconds, nanos) => {
    expect(() => instantFromWire("as_of", create(TimestampSchema, { seconds, nanos }))).toThrow(invalid);
  });
});

describe("a duration", () => {
  test("keeps its microseconds on the way to the wire and back", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 315_576_000_000_000_000n), (micros) => {
        expect(durationFromWire("latency", durationToWire(micros))).toBe(micros);
      }),
    );
  });

  test.each([
    [-1n, 0],
    [0n, -1],
    [0n, 1_000_000_000],
    [315_576_000_001n, 0],
  ])("of %i seconds and %i nanoseconds is refused", (seconds, nanos) => {
    expect(() => durationFromWire("latency", create(DurationSchema, { seconds, nanos }))).toThrow(invalid);
  });
});
