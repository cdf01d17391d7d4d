import type { ImportFrame } from "./import-frame.ts";

/** A frame, and for each frame joined into it the largest offset that its answer may acknowledge. */
export interface JoinedFrame {
  readonly frame: ImportFrame;
  readonly ends: number[];
}

/** Joins consecutive batches without a gap, so that they are written together. Each frame still gets its own answer. */
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

/** Returns whether all rows of a batch were read, because none was already complete. */
function isWhole({ count, rows }: Extract<ImportFrame, { kind: "batch" }>): boolean {
  return rows.length === count;
}
