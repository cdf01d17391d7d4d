import type { ExperimentSummary, ScoreSummary } from "./summary.ts";

/** The longest example of a failure, in characters: one line of a terminal. */
const maxExample = 80;

/**
 * Formats a summary as a few lines of text:
 *
 *     COMPLETED  reader-2 on data… version 3  (runs…)
 *     cells      300 = 290 succeeded + 8 failed + 2 missing
 *     latency    p50 210 ms, p95 480 ms
 *     correct    0.871  n 288 of 290, 2 evaluators failed: no such column
 *     TIMEOUT    6 ×  no answer within 1000 ms
 */
export function formatSummary(summary: ExperimentSummary): string {
  const { state, name, datasetId, version, runId, expected, succeeded, failed, missing, latencyMs } = summary;
  const rows: [title: string, text: string][] = [
    [
      state,
      [`${name || "run"} on ${datasetId} version ${version}`, runId && `(${runId})`]
        .filter(Boolean)
        .join("  "),
    ],
    [
      "cells",
      `${count(expected)} = ${count(succeeded)} succeeded + ${count(failed)} failed + ${count(missing)} missing`,
    ],
  ];
  if (latencyMs)
    rows.push(["latency", `p50 ${milliseconds(latencyMs.p50)}, p95 ${milliseconds(latencyMs.p95)}`]);
  for (const score of summary.scores) rows.push([score.name, describeScore(score, succeeded)]);
  for (const failure of summary.failures) {
    rows.push([failure.code || "failed", `${count(failure.count)} ×  ${line(failure.example)}`]);
  }
  const width = Math.max(...rows.map(([title]) => title.length));
  return rows.map(([title, text]) => `${title.padEnd(width)}  ${text}`.trimEnd()).join("\n");
}

function describeScore(
  { n, mean, labelled, labels, failed, unscored, firstError }: ScoreSummary,
  succeeded: number,
): string {
  const parts: string[] = [];
  if (mean !== undefined || labelled === 0) {
    parts.push(`${mean === undefined ? "no value" : decimal(mean)}  n ${count(n)} of ${count(succeeded)}`);
  }
  const named = Object.entries(labels).map(([label, times]) => `${label} ${count(times)}`);
  if (named.length > 0) parts.push(named.slice(0, 5).join(", ") + (named.length > 5 ? ", …" : ""));
  if (unscored > 0) parts.push(`${count(unscored)} not scored`);
  if (firstError !== undefined) {
    parts.push(`${count(failed)} evaluator${failed === 1 ? "" : "s"} failed: ${line(firstError)}`);
  }
  return parts.join(", ");
}

/** A message as at most one line of a terminal. */
function line(message: string): string {
  const text = message.trim().replace(/\s+/g, " ");
  return text.length > maxExample ? `${text.slice(0, maxExample - 1)}…` : text;
}

const count = (value: number) => value.toLocaleString("en-US");

/** Three decimals, fewer where they are zeros. */
const decimal = (value: number) => String(Number(value.toFixed(3)));

function milliseconds(value: number): string {
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}
