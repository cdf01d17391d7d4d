import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  CreateRunResponseSchema,
  DeleteRunResponseSchema,
  RunService,
  UpdateRunResponseSchema,
} from "../../../gen/itembank/v1/run_service_pb.js";
import { authorOf, projectOf } from "../../auth/project.ts";
import { newRecorder } from "../../results/record-results.ts";
import { answerOnce } from "../../rpc/answer-once.ts";
import { createRun } from "../../runs/create-run.ts";
import { deleteRun } from "../../runs/delete-run.ts";
import { listRunPage } from "../../runs/list-runs.ts";
import { getRun } from "../../runs/run-store.ts";
import { updateRun } from "../../runs/update-run.ts";
import { cancelRun, finishRun } from "../../work/end-run.ts";
import type { Resources } from "../resources.ts";
import { comparisonHandler } from "./comparison-handler.ts";
import { resultHandler } from "./result-handler.ts";
import { runPatchFromWire } from "./run-definition-wire.ts";
import {
  createRequestFromWire,
  finishTermsFromWire,
  runIdFromWire,
  runListingFromWire,
  runToWire,
} from "./run-wire.ts";
import { scoreHandler } from "./score-handler.ts";
import { workHandler } from "./work-handler.ts";

const { method } = RunService;

/** Returns the handlers of RunService: those of runs here; the others from the handlers beside this one. */
export function runHandler(resources: Resources): Partial<ServiceImpl<typeof RunService>> {
  const { pool, mutex, runChanges, deletedRunSweeper } = resources;
  const recorder = newRecorder(pool, runChanges, mutex);
  return {
    ...resultHandler(resources, recorder),
    ...scoreHandler(recorder),
    ...workHandler(resources, recorder),
    ...comparisonHandler(resources),

    async createRun(request, context) {
      const projectId = projectOf(context);
      const wanted = createRequestFromWire(request);
      return answerOnce(pool, { projectId, method: method.createRun, request }, async (client) => {
        const run = await createRun(client, projectId, authorOf(context), wanted);
        return {
          response: create(CreateRunResponseSchema, { run: runToWire(run) }),
          resourceId: run.runId,
        };
      });
    },

    async getRun({ runId }, context) {
      return { run: runToWire(await getRun(pool, projectOf(context), runIdFromWire("run_id", runId))) };
    },

    async listRuns(request, context) {
      const { runs, nextPageToken } = await listRunPage(
        resources,
        projectOf(context),
        runListingFromWire(request),
      );
      return { runs: runs.map(runToWire), nextPageToken };
    },

    async updateRun(request, context) {
      const runId = runIdFromWire("run_id", request.runId);
      const projectId = projectOf(context);
      const { patch, etag } = runPatchFromWire(request);
      return answerOnce(pool, { projectId, method: method.updateRun, request }, async (client) => {
        const run = await updateRun(client, { projectId, runId, etag }, patch);
        return { response: create(UpdateRunResponseSchema, { run: runToWire(run) }), resourceId: runId };
      });
    },

    async deleteRun(request, context) {
      const runId = runIdFromWire("run_id", request.runId);
      const projectId = projectOf(context);
      const { etag } = request;
      const answer = await answerOnce(
        pool,
        { projectId, method: method.deleteRun, request },
        async (client) => {
          await deleteRun(client, { projectId, runId, etag });
          return { response: create(DeleteRunResponseSchema), resourceId: undefined };
        },
      );
      recorder.changes.notify(runId);
      deletedRunSweeper.sweepSoon();
      return answer;
    },

    async finishRun(request, context) {
      const runId = runIdFromWire("run_id", request.runId);
      const run = await finishRun(pool, projectOf(context), runId, finishTermsFromWire(request));
      recorder.changes.notify(runId);
      return { run: runToWire(run) };
    },

    async cancelRun(request, context) {
      const runId = runIdFromWire("run_id", request.runId);
      const run = await cancelRun(pool, projectOf(context), runId);
      recorder.changes.notify(runId);
      return { run: runToWire(run) };
    },
  };
}
