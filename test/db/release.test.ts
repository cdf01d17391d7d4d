import { describe, expect, test } from "vitest";
import { OldDatabaseError, requireSupportedRelease } from "../../src/db/migrate.ts";

describe("requireSupportedRelease", () => {
  test.each([150_000, 150_018, 180_004])("takes %i", (versionNumber) => {
    expect(() => requireSupportedRelease(versionNumber)).not.toThrow();
  });

  test("refuses PostgreSQL 14 and names the required release", () => {
    expect(() => requireSupportedRelease(140_022)).toThrow(OldDatabaseError);
    expect(() => requireSupportedRelease(140_022)).toThrow("PostgreSQL 14; Itembank needs PostgreSQL 15");
  });
});
