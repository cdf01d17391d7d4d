import type { ResultScore } from "../../../gen/itembank/v1/run_service_pb.js";
import { invalidField } from "../../failure.ts";
import type { LateScore } from "../../results/late-score.ts";
import { newViolations } from "../../rpc/request-wire.ts";
import { requireBatchSize } from "../messages/item-wire.ts";
import { resultIdFromWire } from "./result-wire.ts";
import { scoreFromWire } from "./score-wire.ts";

/**
 * The scores of one request. Says of all bad ones what is wrong with them, of each the first fault.
 *
 * @throws Failure INVALID_FIELD, LIMIT_EXCEEDED
 */
export function lateScoresFromWire(field: string, scores: readonly ResultScore[]): LateScore[] {
  requireBatchSize(scores.length);
  const violations = newViolations();
  const positions = new Map<string, number>();
  const lateScores = scores.flatMap(({ resultId, score }, index) => {
    const at = `${field}[${index}]`;
    const lateScore = violations.check(() => {
      if (score === undefined) throw invalidField(`${at}.score`, "is required");
      const key = `${resultId} ${score.name}`;
      const first = positions.get(key);
      // Which of the two is meant to stay is the caller's to say.
      if (first !== undefined) {
        throw invalidField(`${at}.score.name`, `is the same as of ${field}[${first}], for the same result`);
      }
      positions.set(key, index);
      return {
        resultId: resultIdFromWire(`${at}.result_id`, resultId),
        score: scoreFromWire(`${at}.score`, score),
      };
    });
    return lateScore === undefined ? [] : [lateScore];
  });
  violations.throwIfAny();
  return lateScores;
}
