import type { ImportFrame } from "./import-frame.ts";

/** A frame, and for each frame that went into it the row up to which its answer may speak. */
export interface JoinedFrame {
  readonly frame: ImportFrame;
  readonly ends: number[];
}

/** Joins batches that follow each other without a gap, so that they are written together. Each still gets its answer. */
export function joinBatches(frames: readonly ImportFrame[]): JoinedFrame[] {
  const joined: JoinedFrame[] = [];
  for (const frame of frames) {
    const last = joined.at(-1);
    if (frame.kind !== "batch") {
      joined.push({ frame, ends: [Number.POSITIVE_INFINITY] });
      continue;
    }
    const end = frame.offset + frame.count;
    if (
      last?.frame.kind === "batch" &&
      isWhole(frame) &&
      last.frame.offset + last.frame.count === frame.offset
    ) {
      const { offset, count, rows } = last.frame;
      joined.pop();
      joined.push({
        frame: { kind: "batch", offset, count: count + frame.count, rows: rows.concat(frame.rows) },
        ends: [...last.ends, end],
      });
    } else {
      joined.push({ frame, ends: [end] });
    }
  }
  return joined;
}

/** Whether all rows of a batch were read: none was known to be complete before. */
function isWhole({ count, rows }: Extract<ImportFrame, { kind: "batch" }>): boolean {
  return rows.length === count;
}
