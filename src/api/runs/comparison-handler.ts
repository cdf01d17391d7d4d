import type { ServiceImpl } from "@connectrpc/connect";
import type { RunService } from "../../../gen/itembank/v1/run_service_pb.js";
import { projectOf } from "../../auth/project.ts";
import { compareRuns } from "../../comparisons/compare-runs.ts";
import type { Resources } from "../resources.ts";
import { comparisonToWire, comparisonViewFromWire, settingsFromWire } from "./comparison-wire.ts";
import { runIdFromWire } from "./run-wire.ts";

/** Returns the handlers of RunService for comparisons. */
export function comparisonHandler({ pool }: Resources) {
  return {
    async *compareRuns(request, context) {
      const view = comparisonViewFromWire("view", request.view);
      const comparison = await compareRuns(pool, projectOf(context), {
        baseRunId: runIdFromWire("base_run_id", request.baseRunId),
        candidateRunId: runIdFromWire("candidate_run_id", request.candidateRunId),
        settings: settingsFromWire("scores", request.scores),
      });
      yield* comparisonToWire(comparison, view);
    },
  } satisfies Partial<ServiceImpl<typeof RunService>>;
}
