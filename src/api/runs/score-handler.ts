import type { ServiceImpl } from "@connectrpc/connect";
import type { RunService } from "../../../gen/itembank/v1/run_service_pb.js";
import { projectOf } from "../../auth/project.ts";
import type { Recorder } from "../../results/record-results.ts";
import { recordScores } from "../../results/record-scores.ts";
import { lateScoresFromWire } from "./late-score-wire.ts";
import { recordedCountsToWire } from "./result-wire.ts";
import { runIdFromWire } from "./run-wire.ts";

/** Returns the handler of RunService for scores. */
export function scoreHandler(recorder: Recorder) {
  return {
    async recordScores({ runId, scores }, context) {
      const counts = await recordScores(recorder, projectOf(context), {
        runId: runIdFromWire("run_id", runId),
        lateScores: lateScoresFromWire("scores", scores),
      });
      return { counts: recordedCountsToWire(counts) };
    },
  } satisfies Partial<ServiceImpl<typeof RunService>>;
}
