import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** Formats a time to the second, in UTC: `2026-11-21 14:45:03`. Empty if there is none. */
export function timeInWords(time: Timestamp | undefined): string {
  return time === undefined ? "" : timestampDate(time).toISOString().slice(0, 19).replace("T", " ");
}
