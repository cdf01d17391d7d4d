import { Faults } from "../faults.ts";
import { resultId, resultIdParts } from "../runs/run.ts";
import type { Score } from "./score.ts";

/** A score, and the result that it judges. */
export interface LateScore {
  readonly resultId: string;
  readonly score: Score;
}

/** A result that is judged, as far as recording scores of it needs to know it. */
export interface ScoredResult {
  readonly number: bigint;
  readonly sequence: bigint;
  readonly itemId: string;
  readonly repetition: number;
  readonly succeeded: boolean;
  /** True once another result took its cell. */
  readonly replaced: boolean;
  /** Whether its item was purged: then it takes no scores any more. */
  readonly purged: boolean;
  /** Bytes of its outcome. */
  readonly bytes: number;
}

/** All that one request says about one result. */
export interface ResultLateScores {
  readonly number: bigint;
  readonly scores: Score[];
}

/**
 * Brings together what is said about each result, in the order in which results are first named.
 *
 * @throws Failure RESULT_NOT_FOUND about an id that is not one of the run.
 */
export function groupByResult(
  { resultIdPrefix }: { readonly resultIdPrefix: string },
  lateScores: readonly LateScore[],
): ResultLateScores[] {
  const faults = new Faults();
  const groups = new Map<bigint, ResultLateScores>();
  lateScores.forEach(({ resultId: id, score }, index) => {
    const parts = resultIdParts(id);
    if (parts?.prefix !== resultIdPrefix) {
      faults.add("RESULT_NOT_FOUND", { result_id: id }, fieldOf(index));
      return;
    }
    const { number } = parts;
    const group = groups.get(number);
    if (group === undefined) groups.set(number, { number, scores: [score] });
    else group.scores.push(score);
  });
  faults.throwIfAny();
  return [...groups.values()];
}

/**
 * Checks that all results that are judged are there, are successes and are current. `found` has those that are there, and
 * `current` the number of the current result of the cell of each that was replaced.
 *
 * @throws Failure RESULT_NOT_FOUND, RESULT_SUPERSEDED, ITEM_PURGED, INVALID_FIELD
 */
export function requireScorable(
  { resultIdPrefix }: { readonly resultIdPrefix: string },
  lateScores: readonly LateScore[],
  found: ReadonlyMap<bigint, ScoredResult>,
  current: ReadonlyMap<bigint, bigint>,
): void {
  const faults = new Faults();
  lateScores.forEach(({ resultId: id }, index) => {
    const result = found.get(resultIdParts(id)?.number ?? 0n);
    if (result === undefined) {
      faults.add("RESULT_NOT_FOUND", { result_id: id }, fieldOf(index));
    } else if (result.replaced) {
      const currentId = resultId(resultIdPrefix, current.get(result.number) ?? 0n);
      faults.add("RESULT_SUPERSEDED", { result_id: id, current_result_id: currentId }, fieldOf(index));
    } else if (result.purged) {
      faults.add("ITEM_PURGED", { index, item_id: result.itemId }, fieldOf(index));
    } else if (!result.succeeded) {
      faults.addInvalid(fieldOf(index), "is an error; only a success can be scored");
    }
  });
  faults.throwIfAny();
}

const fieldOf = (index: number) => `scores[${index}].result_id`;
