import { Code } from "@connectrpc/connect";
import {
  type ComparisonRow,
  type ComparisonSummary,
  ComparisonView,
  ScoreDirection,
} from "../../gen/itembank/v1/comparison_pb.js";
import type { Connection } from "../rpc/connection.ts";
import { enumValue } from "../rpc/enum-value.ts";
import { ItembankError } from "../rpc/error.ts";
import type { OptionNames } from "../rpc/option-names.ts";

/** How to compare one score. */
export interface ScoreSettings {
  readonly name: string;
  /** Which values are better. `higher_is_better` by default. */
  readonly direction?: "higher_is_better" | "lower_is_better";
  /** The largest difference that does not matter, in units of the score. */
  readonly tolerance?: number;
  /** The value of a repetition that failed or is missing. */
  readonly failureValue?: number;
}

/** The two runs to compare. */
export interface CompareOptions {
  /** The id of the run to compare with. */
  readonly base: string;
  /** The id of the run to compare. */
  readonly candidate: string;
  /** The scores to compare, with their settings. All scores of either run by default. */
  readonly scores?: readonly ScoreSettings[];
  readonly signal?: AbortSignal;
}

const scoreSettingNames: OptionNames<ScoreSettings> = {
  name: true,
  direction: true,
  tolerance: true,
  failureValue: true,
};

/** The names of `CompareOptions`. */
export const compareOptionNames: OptionNames<CompareOptions> = {
  base: true,
  candidate: true,
  scores: [scoreSettingNames],
  signal: true,
};

/** A comparison of two runs. */
export interface Comparison {
  readonly summary: ComparisonSummary;
  /** Yields the items that both runs cover, in order of item_id. Calls the server again. */
  rows(): AsyncGenerator<ComparisonRow, void>;
}

const directions = {
  higher_is_better: ScoreDirection.HIGHER_IS_BETTER,
  lower_is_better: ScoreDirection.LOWER_IS_BETTER,
} as const;

/** Compares two runs item by item. */
export async function compareRuns(
  connection: Connection,
  { base, candidate, scores = [], signal }: CompareOptions,
): Promise<Comparison> {
  const settings = scores.map(({ direction = "higher_is_better", ...setting }, index) => ({
    ...setting,
    direction: enumValue(`scores[${index}].direction`, direction, directions),
  }));
  const call = signal ? { signal } : {};
  const open = (view: ComparisonView) =>
    connection.runs.compareRuns({ baseRunId: base, candidateRunId: candidate, scores: settings, view }, call);
  const cut = () =>
    new ItembankError("the comparison was cut off; try again", { code: Code.Unavailable, retryable: true });

  async function* rows(): AsyncGenerator<ComparisonRow, void> {
    for await (const { frame } of open(ComparisonView.FULL)) {
      if (frame.case === "rows") yield* frame.value.rows;
      if (frame.case === "end") return;
    }
    throw cut();
  }

  for await (const { frame } of open(ComparisonView.SUMMARY)) {
    if (frame.case === "summary") return { summary: frame.value, rows };
  }
  throw cut();
}
