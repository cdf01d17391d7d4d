import { failure } from "../failure.ts";
import type { DatasetHandle, RunHandle } from "../handles.ts";
import { type ConfidenceInterval, meanOf, pairedInterval } from "./paired-statistics.ts";

/** Which values of a score are better. */
export type ScoreDirection = "higher_is_better" | "lower_is_better";

/** What an answer contains: summary and rows, or the summary alone. */
export type ComparisonView = "full" | "summary";

/** How to compare one score. */
export interface ScoreSetting {
  readonly name: string;
  readonly direction: ScoreDirection;
  /** The largest difference that does not matter. */
  readonly tolerance: number;
  /** The value of a repetition that failed or is missing; undefined leaves it without a value. */
  readonly failureValue: number | undefined;
}

/** The verdict of a comparison on one score. */
export type Verdict = "better" | "worse" | "equivalent" | "inconclusive" | "no_overlap";

/** The values of one score of an item in one run. */
export interface ScoreSum {
  sum: number;
  count: number;
}

/** One item in one run. */
export interface ComparisonSide {
  succeeded: number;
  failed: number;
  readonly missing: number;
  /** The results, by repetition. */
  readonly resultIds: readonly string[];
  readonly scores: ReadonlyMap<string, ScoreSum>;
}

/** One item that both runs cover. */
export interface ComparisonItem {
  readonly itemId: string;
  readonly drifted: boolean;
  readonly base: ComparisonSide;
  readonly candidate: ComparisonSide;
}

/** One score of one item in both runs. */
export interface ScorePair {
  readonly base: number | undefined;
  readonly candidate: number | undefined;
  /** candidate - base; undefined if either has no value, or beyond the range of a double. */
  readonly difference: number | undefined;
}

/** One score in both runs. */
export interface ScoreComparison {
  readonly name: string;
  readonly verdict: Verdict;
  readonly pairedItemCount: number;
  readonly unpairedItemCount: number;
  readonly baseMean: number | undefined;
  readonly candidateMean: number | undefined;
  readonly meanDifference: number | undefined;
  readonly interval: ConfidenceInterval | undefined;
  readonly wins: number;
  readonly losses: number;
  readonly ties: number;
}

/** Fails unless two runs can be compared. @throws Failure RUNS_NOT_COMPARABLE if they are the same, or on different datasets. */
export function requireComparable(
  base: { readonly runId: RunHandle; readonly datasetId: DatasetHandle },
  candidate: { readonly runId: RunHandle; readonly datasetId: DatasetHandle },
): void {
  if (base.runId !== candidate.runId && base.datasetId === candidate.datasetId) return;
  throw failure("RUNS_NOT_COMPARABLE", { base_run_id: base.runId, candidate_run_id: candidate.runId });
}

/** Returns the settings for a comparison of all scores that either run has, by name. */
export function defaultSettings(names: Iterable<string>): ScoreSetting[] {
  return [...names]
    .sort()
    .map((name) => ({ name, direction: "higher_is_better", tolerance: 0, failureValue: undefined }));
}

/** Returns one score of one item in both runs, each as the mean over the repetitions that have a value. */
export function pairOf(item: ComparisonItem, setting: ScoreSetting): ScorePair {
  const base = meanOfItem(item.base, setting);
  const candidate = meanOfItem(item.candidate, setting);
  const difference = base === undefined || candidate === undefined ? undefined : finite(candidate - base);
  return { base, candidate, difference };
}

function meanOfItem({ scores, failed, missing }: ComparisonSide, setting: ScoreSetting): number | undefined {
  const { sum, count } = scores.get(setting.name) ?? { sum: 0, count: 0 };
  if (setting.failureValue === undefined) return count === 0 ? undefined : finite(sum / count);
  const without = failed + missing;
  return count + without === 0
    ? undefined
    : finite((sum + setting.failureValue * without) / (count + without));
}

/**
 * Compares one score over the items that both runs cover: only items with a value in both count, each once. Pairs whose
 * difference is beyond the range of a double are left out, so that every number in a comparison is finite.
 */
export function compareScore(items: readonly ComparisonItem[], setting: ScoreSetting): ScoreComparison {
  const bases: number[] = [];
  const candidates: number[] = [];
  const differences: number[] = [];
  let wins = 0;
  let losses = 0;
  for (const item of items) {
    const { base, candidate, difference } = pairOf(item, setting);
    if (base === undefined || candidate === undefined || difference === undefined) continue;
    bases.push(base);
    candidates.push(candidate);
    differences.push(difference);
    const gain = setting.direction === "higher_is_better" ? difference : -difference;
    if (gain > setting.tolerance) wins++;
    else if (gain < -setting.tolerance) losses++;
  }
  const pairs = differences.length;
  const interval = pairedInterval(differences);
  return {
    name: setting.name,
    verdict: pairs === 0 ? "no_overlap" : verdictOf(interval, setting),
    pairedItemCount: pairs,
    unpairedItemCount: items.length - pairs,
    baseMean: meanOf(bases),
    candidateMean: meanOf(candidates),
    meanDifference: meanOf(differences),
    interval,
    wins,
    losses,
    ties: pairs - wins - losses,
  };
}

/** Returns the verdict of an interval, which lies beyond the tolerance on one side, within it, or across it. */
function verdictOf(
  interval: ConfidenceInterval | undefined,
  { direction, tolerance }: ScoreSetting,
): Verdict {
  if (interval === undefined) return "inconclusive";
  const [low, high] =
    direction === "higher_is_better" ? [interval.low, interval.high] : [-interval.high, -interval.low];
  if (low > tolerance) return "better";
  if (high < -tolerance) return "worse";
  return low >= -tolerance && high <= tolerance ? "equivalent" : "inconclusive";
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}
