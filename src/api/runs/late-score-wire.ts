import type { ResultScore } from "../../../gen/itembank/v1/run_service_pb.js";
import { invalidField } from "../../failure.ts";
import { Faults, within } from "../../faults.ts";
import type { LateScore } from "../../results/late-score.ts";
import { requireBatchSize } from "../messages/item-wire.ts";
import { resultIdFromWire } from "./result-wire.ts";
import { scoreFromWire } from "./score-wire.ts";

/**
 * Reads the scores of one request. The failure lists the first fault of each bad score.
 *
 * @throws Failure INVALID_FIELD, LIMIT_EXCEEDED
 */
export function lateScoresFromWire(field: string, scores: readonly ResultScore[]): LateScore[] {
  requireBatchSize(scores.length);
  const faults = new Faults();
  const positions = new Map<string, number>();
  const lateScores: LateScore[] = [];
  for (const [index, { resultId, score }] of scores.entries()) {
    try {
      if (score === undefined) throw invalidField("score", "is required");
      const key = `${resultId} ${score.name}`;
      const first = positions.get(key);
      // Only the caller knows which of the two to keep.
      if (first !== undefined) {
        throw invalidField(
          "score.name",
          `must differ from that of ${field}[${first}], which has the same result_id`,
        );
      }
      positions.set(key, index);
      lateScores.push({
        resultId: resultIdFromWire("result_id", resultId),
        score: within("score", () => scoreFromWire(score)),
      });
    } catch (error) {
      faults.take(error, `${field}[${index}]`);
    }
  }
  faults.throwIfAny();
  return lateScores;
}
