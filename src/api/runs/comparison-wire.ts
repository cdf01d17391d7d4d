import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ComparisonRow,
  ComparisonRowSchema,
  ComparisonSideSchema,
  ScoreComparisonSchema,
  ScoreDifferenceSchema,
  ScoreDirection as WireDirection,
  type ScoreComparison as WireScoreComparison,
  type ScoreSetting as WireSetting,
  type ComparisonSide as WireSide,
  Verdict as WireVerdict,
  ComparisonView as WireView,
} from "../../../gen/itembank/v1/comparison_pb.js";
import type { CompareRunsResponseSchema } from "../../../gen/itembank/v1/run_service_pb.js";
import type { RunComparison } from "../../comparisons/compare-runs.ts";
import {
  type ComparisonItem,
  type ComparisonSide,
  type ComparisonView,
  pairOf,
  type ScoreComparison,
  type ScoreDirection,
  type ScoreSetting,
  type Verdict,
} from "../../comparisons/comparison.ts";
import { invalidField } from "../../failure.ts";
import { limits } from "../../limits.ts";
import { boundedText, enumFromWire } from "../../rpc/request-wire.ts";
import { requireBatchSize } from "../messages/item-wire.ts";
import { runToWire } from "./run-wire.ts";

const maxScoreNameLength = 128;

const directions: Readonly<Record<WireDirection, ScoreDirection>> = {
  [WireDirection.UNSPECIFIED]: "higher_is_better",
  [WireDirection.HIGHER_IS_BETTER]: "higher_is_better",
  [WireDirection.LOWER_IS_BETTER]: "lower_is_better",
};

const views: Readonly<Record<WireView, ComparisonView>> = {
  [WireView.UNSPECIFIED]: "full",
  [WireView.FULL]: "full",
  [WireView.SUMMARY]: "summary",
};

/** Reads the view of a comparison. @throws Failure INVALID_FIELD */
export function comparisonViewFromWire(field: string, view: WireView): ComparisonView {
  return enumFromWire(field, view, views);
}

/** Reads the settings of the scores to compare. @throws Failure INVALID_FIELD, LIMIT_EXCEEDED */
export function settingsFromWire(field: string, settings: readonly WireSetting[]): ScoreSetting[] {
  requireBatchSize(settings.length);
  const names = new Set<string>();
  return settings.map(({ name, direction, tolerance, failureValue }, index) => {
    const at = `${field}[${index}]`;
    if (names.has(name)) throw invalidField(`${at}.name`, "another setting has this name");
    names.add(name);
    if (!(Number.isFinite(tolerance) && tolerance >= 0)) {
      throw invalidField(`${at}.tolerance`, "must be a finite number of at least 0");
    }
    if (failureValue !== undefined && !Number.isFinite(failureValue)) {
      throw invalidField(`${at}.failure_value`, "must be finite");
    }
    return {
      name: boundedText(`${at}.name`, name, 1, maxScoreNameLength),
      direction: enumFromWire(`${at}.direction`, direction, directions),
      tolerance,
      failureValue,
    };
  });
}

type ComparisonFrame = MessageInitShape<typeof CompareRunsResponseSchema>;

/** Yields the frames of a comparison: the summary, the rows in a view that has them, and the end. */
export function* comparisonToWire(
  comparison: RunComparison,
  view: ComparisonView,
): Generator<ComparisonFrame> {
  const { items } = comparison;
  yield {
    frame: {
      case: "summary",
      value: {
        base: runToWire(comparison.base),
        candidate: runToWire(comparison.candidate),
        commonItemCount: BigInt(items.length),
        baseOnlyItemCount: BigInt(comparison.baseOnlyItemCount),
        candidateOnlyItemCount: BigInt(comparison.candidateOnlyItemCount),
        driftedItemCount: BigInt(items.filter((item) => item.drifted).length),
        scores: comparison.scores.map(scoreComparisonToWire),
      },
    },
  };
  let rowCount = 0;
  if (view === "full") {
    for (const rows of rowBatches(items, comparison.settings)) {
      yield { frame: { case: "rows", value: { rows } } };
      rowCount += rows.length;
    }
  }
  yield { frame: { case: "end", value: { rowCount: BigInt(rowCount) } } };
}

/** Yields rows in batches of at most 1,000 rows and about 3 MiB. */
function* rowBatches(
  items: readonly ComparisonItem[],
  settings: readonly ScoreSetting[],
): Generator<ComparisonRow[]> {
  let rows: ComparisonRow[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = rowBytes(item, settings);
    if (rows.length === limits.maxBatchSize || (rows.length > 0 && bytes + size > limits.maxBatchBytes)) {
      yield rows;
      rows = [];
      bytes = 0;
    }
    rows.push(rowToWire(item, settings));
    bytes += size;
  }
  if (rows.length > 0) yield rows;
}

/** Returns the most bytes that a row takes on the wire: a result_id takes 32, a number 9, and the rest its own length. */
function rowBytes({ itemId, base, candidate }: ComparisonItem, settings: readonly ScoreSetting[]): number {
  let bytes = 64 + Buffer.byteLength(itemId) + 32 * (base.resultIds.length + candidate.resultIds.length);
  for (const { name } of settings) bytes += 36 + Buffer.byteLength(name);
  return bytes;
}

function rowToWire(item: ComparisonItem, settings: readonly ScoreSetting[]): ComparisonRow {
  return create(ComparisonRowSchema, {
    itemId: item.itemId,
    drifted: item.drifted,
    base: sideToWire(item.base),
    candidate: sideToWire(item.candidate),
    scores: settings.map((setting) => {
      const { base, candidate, difference } = pairOf(item, setting);
      return create(ScoreDifferenceSchema, {
        name: setting.name,
        ...(base === undefined ? {} : { base }),
        ...(candidate === undefined ? {} : { candidate }),
        ...(difference === undefined ? {} : { difference }),
      });
    }),
  });
}

function sideToWire({ succeeded, failed, missing, resultIds }: ComparisonSide): WireSide {
  return create(ComparisonSideSchema, { succeeded, failed, missing, resultIds: [...resultIds] });
}

const verdicts: Readonly<Record<Verdict, WireVerdict>> = {
  better: WireVerdict.BETTER,
  worse: WireVerdict.WORSE,
  equivalent: WireVerdict.EQUIVALENT,
  inconclusive: WireVerdict.INCONCLUSIVE,
  no_overlap: WireVerdict.NO_OVERLAP,
};

function scoreComparisonToWire(score: ScoreComparison): WireScoreComparison {
  const { baseMean, candidateMean, meanDifference, interval } = score;
  return create(ScoreComparisonSchema, {
    name: score.name,
    verdict: verdicts[score.verdict],
    pairedItemCount: BigInt(score.pairedItemCount),
    unpairedItemCount: BigInt(score.unpairedItemCount),
    wins: BigInt(score.wins),
    losses: BigInt(score.losses),
    ties: BigInt(score.ties),
    ...(baseMean === undefined ? {} : { baseMean }),
    ...(candidateMean === undefined ? {} : { candidateMean }),
    ...(meanDifference === undefined ? {} : { meanDifference }),
    ...(interval === undefined ? {} : { confidenceLow: interval.low, confidenceHigh: interval.high }),
  });
}
