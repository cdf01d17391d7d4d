import { durationMs } from "@bufbuild/protobuf/wkt";
import type { RunResult, Score } from "../../../clients/typescript/src/contract.ts";
import type { Terminal } from "./terminal.ts";
import { clipped, oneLine, padded } from "./text.ts";

/** Columns for the item and its repetition, so that most lines align although results arrive one by one. */
const itemWidth = 20;
const latencyWidth = 8;

/** Formats a result as one line: outcome, item and repetition, latency, scores, and the output or error. */
export function resultLine({ colors, width }: Pick<Terminal, "colors" | "width">, result: RunResult): string {
  const { itemId, repetition, attempt, outcome, latency, scores } = result;
  const failed = outcome.case === "error";
  const cell = padded(
    `${clipped(oneLine(itemId), itemWidth)} #${repetition}${attempt > 1 ? `.${attempt}` : ""}`,
    itemWidth + 4,
  );
  const took = latency === undefined ? "" : milliseconds(durationMs(latency));
  const judged = scores.map(scoreText).join("  ");
  const fixed = `  ${cell}  ${took.padStart(latencyWidth)}  ${judged && `${judged}  `}`;
  const output = failed
    ? `${outcome.value.code && `${outcome.value.code}: `}${outcome.value.message}`
    : outcome.value || "(purged)";
  const room = Math.max(16, width - fixed.length);
  const mark = failed ? colors.red("✗") : colors.green("✓");
  const text = clipped(oneLine(output ?? ""), room);
  return `${mark} ${cell}  ${colors.dim(took.padStart(latencyWidth))}  ${judged && `${colors.cyan(judged)}  `}${failed ? colors.red(text) : text}`;
}

function scoreText({ name, value, label, error }: Score): string {
  const judged = error
    ? "failed"
    : [value === undefined ? "" : String(Number(value.toFixed(3))), label].filter(Boolean).join(" ");
  return `${oneLine(name)} ${oneLine(judged)}`;
}

function milliseconds(value: number): string {
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}
