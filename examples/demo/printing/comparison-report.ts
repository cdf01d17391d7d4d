import {
  type ComparisonSummary,
  type ScoreComparison,
  Verdict,
} from "../../../gen/itembank/v1/comparison_pb.js";
import type { Run } from "../../../gen/itembank/v1/run_pb.js";
import { intervalOf } from "../../../src/cli/printing/comparison-report.ts";
import { intervalPlot, signed } from "../../../src/cli/printing/interval-plot.ts";
import { table } from "../../../src/cli/printing/table.ts";
import type { Terminal } from "../../../src/cli/printing/terminal.ts";
import { grouped } from "../../../src/quantities.ts";
import type { GroupComparison } from "../comparison.ts";

/** Formats a share as a percentage with one decimal: `45.8 %`. */
function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** Prints the cells of both runs. Failed and missing cells are shown separately from wrong ones. */
export function cellTable(
  terminal: Terminal,
  runs: readonly { name: string; run: Run; mean: number }[],
): string {
  const { colors } = terminal;
  const troubling = (count: bigint) => (count > 0n ? colors.yellow(grouped(count)) : "0");
  return table(
    terminal,
    [
      { title: "", align: "left" },
      { title: "target", align: "left" },
      { title: "cells" },
      { title: "succeeded" },
      { title: "failed" },
      { title: "missing" },
      { title: "correct" },
    ],
    runs.map(({ name, run, mean }) => [
      name,
      colors.bold(run.targetId),
      grouped(run.counts?.expected ?? 0n),
      grouped(run.counts?.succeeded ?? 0n),
      troubling(run.counts?.failed ?? 0n),
      troubling(run.counts?.missing ?? 0n),
      percent(mean),
    ]),
  );
}

/** Prints means and wins, group by group. */
export function groupTable(terminal: Terminal, groups: readonly GroupComparison[]): string {
  const { colors } = terminal;
  return table(
    terminal,
    [
      { title: "topic", align: "left" },
      { title: "items" },
      { title: "base" },
      { title: "candidate" },
      { title: "difference" },
      { title: "wins" },
      { title: "losses" },
      { title: "ties" },
    ],
    groups.map(({ name, items, baseMean, candidateMean, wins, losses, ties }) => {
      const difference = signed((candidateMean - baseMean) * 100, 1);
      return [
        name,
        grouped(items),
        percent(baseMean),
        percent(candidateMean),
        difference.startsWith("−") ? colors.red(difference) : colors.green(difference),
        grouped(wins),
        grouped(losses),
        grouped(ties),
      ];
    }),
  );
}

/** Describes the basis of the comparison: the number of items, and reasons for caution. */
export function coverageInWords(summary: ComparisonSummary, { unpairedItemCount }: ScoreComparison): string {
  const cautions = [
    `${grouped(summary.baseOnlyItemCount + summary.candidateOnlyItemCount)} in one run only`,
    `${grouped(summary.driftedItemCount)} with other content`,
    `${grouped(unpairedItemCount)} without a pair`,
  ];
  return `${grouped(summary.commonItemCount)} items in both runs, ${cautions.join(", ")}.`;
}

/** Shows the difference in numbers and as a plot. */
export function differenceReport({ colors }: Terminal, score: ScoreComparison): string {
  const pairs = `${grouped(score.wins)} wins, ${grouped(score.losses)} losses, ${grouped(score.ties)} ties`;
  const interval = intervalOf(score);
  if (interval === undefined) return `Item by item: ${pairs}. Too few pairs for an interval.`;
  const { low, mean, high } = interval;
  return [
    `Difference ${colors.bold(signed(mean, 3))}, 95 % interval ${signed(low, 3)} to ${signed(high, 3)}, ${grouped(score.pairedItemCount)} pairs`,
    "",
    intervalPlot(interval),
    "",
    `Item by item: ${pairs}.`,
  ].join("\n");
}

/** States the verdict as a sentence about the two targets. */
export function verdictInWords({ verdict }: ScoreComparison, base: string, candidate: string): string {
  switch (verdict) {
    case Verdict.BETTER:
      return `${candidate} is better than ${base}: the whole interval lies above zero.`;
    case Verdict.WORSE:
      return `${candidate} is worse than ${base}: the whole interval lies below zero.`;
    case Verdict.EQUIVALENT:
      return `${candidate} and ${base} do not differ.`;
    case Verdict.NO_OVERLAP:
      return `${candidate} and ${base} have no scored item in common.`;
    default:
      return `Inconclusive whether ${candidate} is better than ${base}: the interval contains zero. More items may decide.`;
  }
}
