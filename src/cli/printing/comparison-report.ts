import {
  type ComparisonRow,
  type ComparisonSummary,
  type ScoreComparison,
  Verdict,
} from "../../../clients/typescript/src/contract.ts";
import { grouped } from "../../quantities.ts";
import { axisEnd, axisLabels, intervalStrip, type PlottedInterval, signed } from "./interval-plot.ts";
import { runName, sidesTable } from "./runs-table.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { oneLine, plural } from "./text.ts";

/** Columns on either side of zero of a plot in a table: on terminals at least `wide`, and on narrower ones. */
const wide = 96;
const wideHalf = 12;
const narrowHalf = 8;

const verdictWords: Readonly<Record<Verdict, string>> = {
  [Verdict.UNSPECIFIED]: "",
  [Verdict.BETTER]: "better",
  [Verdict.WORSE]: "worse",
  [Verdict.EQUIVALENT]: "equivalent",
  [Verdict.INCONCLUSIVE]: "inconclusive",
  [Verdict.NO_OVERLAP]: "no pairs",
};

/** Returns the interval of a comparison; undefined if there are too few pairs for one. */
export function intervalOf({
  confidenceLow,
  meanDifference,
  confidenceHigh,
}: Pick<ScoreComparison, "confidenceLow" | "meanDifference" | "confidenceHigh">):
  | PlottedInterval
  | undefined {
  if (confidenceLow === undefined || meanDifference === undefined || confidenceHigh === undefined)
    return undefined;
  return { low: confidenceLow, mean: meanDifference, high: confidenceHigh };
}

/**
 * Draws runs against one baseline: their cells, then each score with its differences on one axis. Base and mean are over
 * the items that have a value in both runs, so the base may differ from row to row.
 *
 *     correct   base   mean  change  −0.60       0       +0.60  won/lost/same  verdict
 *     reader   0.458  0.904  +0.447  ├───────────┼───────━●━──┤     170/20/116  better
 */
export function comparisonReport(terminal: Terminal, summaries: readonly ComparisonSummary[]): string {
  const [first] = summaries;
  if (first?.base === undefined) return "";
  const runs = [first.base, ...summaries.flatMap(({ candidate }) => candidate ?? [])];
  const scores = [...new Set(summaries.flatMap((summary) => summary.scores.map(({ name }) => name)))];
  const parts = [sidesTable(terminal, runs)];
  if (scores.length === 0) parts.push("Neither run has a score yet.");
  for (const name of scores) parts.push(scoreTable(terminal, name, summaries));
  parts.push(summaries.map((summary) => cautions(terminal, summary)).join("\n"));
  return parts.join("\n\n");
}

function scoreTable(terminal: Terminal, score: string, summaries: readonly ComparisonSummary[]): string {
  const { width } = terminal;
  const compared = summaries.map((summary) => ({
    summary,
    score: summary.scores.find(({ name }) => name === score),
  }));
  const end = axisEnd(compared.flatMap((one) => (one.score ? (intervalOf(one.score) ?? []) : [])));
  const half = width < wide ? narrowHalf : wideHalf;
  const title = oneLine(score);
  return table(
    terminal,
    [
      { title, align: "left", shrinks: true, isStrong: true },
      { title: "base" },
      { title: "mean" },
      { title: "change" },
      { title: axisLabels(end, half), align: "left" },
      { title: "won/lost/same" },
      { title: "verdict", align: "left" },
    ],
    compared.map(({ summary, score: one }) => scoreRow(terminal, summary, one, { end, half })),
  );
}

function scoreRow(
  { colors }: Terminal,
  { candidate }: ComparisonSummary,
  score: ScoreComparison | undefined,
  axis: { readonly end: number; readonly half: number },
): string[] {
  const name = nameOf(candidate);
  if (score === undefined) return [name, "", "", "", "", "", colors.dim("no such score")];
  const interval = intervalOf(score);
  const paint =
    { [Verdict.BETTER]: colors.green, [Verdict.WORSE]: colors.red }[score.verdict as number] ?? colors.yellow;
  return [
    name,
    decimal(score.baseMean),
    decimal(score.candidateMean),
    score.meanDifference === undefined ? "" : signed(score.meanDifference, 3),
    interval ? paint(intervalStrip(interval, axis.end, axis.half)) : colors.dim("too few pairs"),
    [score.wins, score.losses, score.ties].map(grouped).join("/"),
    paint(verdictWords[score.verdict]),
  ];
}

function nameOf(run: ComparisonSummary["base"]): string {
  return run === undefined ? "" : runName(run);
}

function decimal(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(3);
}

/** Returns the extent of a comparison and its caveats. */
function cautions({ colors }: Terminal, summary: ComparisonSummary): string {
  const { commonItemCount, baseOnlyItemCount, candidateOnlyItemCount, driftedItemCount, candidate, scores } =
    summary;
  const parts: string[] = [];
  const oneOnly = baseOnlyItemCount + candidateOnlyItemCount;
  if (oneOnly > 0n) parts.push(`${grouped(oneOnly)} in one run only`);
  if (driftedItemCount > 0n) parts.push(`${grouped(driftedItemCount)} with other content`);
  const unpaired = new Set(scores.map(({ unpairedItemCount }) => unpairedItemCount));
  for (const { name, unpairedItemCount: count } of unpaired.size > 1 ? scores : scores.slice(0, 1)) {
    if (count > 0n)
      parts.push(`${grouped(count)} without a pair${unpaired.size > 1 ? ` in ${oneLine(name)}` : ""}`);
  }
  const { failed = 0n, missing = 0n } = candidate?.counts ?? {};
  if (failed + missing > 0n) parts.push(`${plural(failed + missing, "cell")} failed or missing`);
  const about = `${nameOf(candidate)}: ${plural(commonItemCount, "item")} in both runs`;
  return parts.length === 0
    ? colors.dim(about)
    : `${colors.dim(`${about},`)} ${colors.yellow(parts.join(", "))}`;
}

/** Draws the items that moved most in the first score: half of them down, half of them up. */
export function movedItems(
  terminal: Terminal,
  { scores, candidate }: ComparisonSummary,
  rows: readonly ComparisonRow[],
  limit: number,
): string {
  const { colors } = terminal;
  const name = scores[0]?.name ?? "";
  const changed = rows
    .flatMap((row) => {
      const score = row.scores.find((one) => one.name === name);
      const by = score?.difference ?? 0;
      return score === undefined || by === 0 ? [] : [{ row, score, by }];
    })
    .sort((a, b) => a.by - b.by);
  // Takes from both ends; where one end has too few, the other fills up.
  const down = changed.filter(({ by }) => by < 0).length;
  const fromEnd = Math.min(changed.length - down, Math.max(Math.floor(limit / 2), limit - down));
  const moved = [
    ...changed.slice(0, Math.min(down, limit - fromEnd)),
    ...changed.slice(changed.length - fromEnd),
  ];
  if (moved.length === 0) return `No item moved in ${oneLine(name)}.`;
  return table(
    terminal,
    [
      {
        title: `${nameOf(candidate)}, items that moved most in ${oneLine(name)}`,
        align: "left",
        shrinks: true,
      },
      { title: "base" },
      { title: "" },
      { title: "now" },
      { title: "change" },
      { title: "", align: "left" },
    ],
    moved.map(({ row, score, by }) => [
      oneLine(row.itemId),
      decimal(score.base),
      "→",
      decimal(score.candidate),
      colors.bold(signed(by, 3)),
      row.drifted ? colors.yellow("other content") : "",
    ]),
  );
}
