import { Faults } from "../faults.ts";
import { resultId, resultIdParts } from "../runs/run.ts";
import type { Score } from "./score.ts";

/** A score and the result that it judges. */
export interface LateScore {
  readonly resultId: string;
  readonly score: Score;
}

/** The facts about a judged result that recording its scores needs. */
export interface ScoredResult {
  readonly number: bigint;
  readonly sequence: bigint;
  readonly itemId: string;
  readonly repetition: number;
  readonly succeeded: boolean;
  /** True once another result took its cell. */
  readonly replaced: boolean;
  /** Whether its item was purged: then it no longer takes scores. */
  readonly purged: boolean;
  /** Bytes of its output or error. */
  readonly bytes: number;
}

/** All scores of one result in one request. */
export interface ResultLateScores {
  readonly number: bigint;
  readonly scores: Score[];
}

/**
 * Groups scores by result, in the order in which the results are first named.
 *
 * @throws Failure RESULT_NOT_FOUND for an id that does not belong to the run.
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
 * Checks that all judged results exist, are successes and are current. `found` has the results that exist; `current` maps each
 * replaced one to the number of the current result of its cell.
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
      faults.addInvalid(fieldOf(index), "is the id of an error; only a success can be scored");
    }
  });
  faults.throwIfAny();
}

const fieldOf = (index: number) => `scores[${index}].result_id`;
