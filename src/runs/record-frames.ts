import { create } from "@bufbuild/protobuf";
import {
  type StreamRecordResultsRequest,
  type StreamRecordResultsResponse,
  StreamRecordResultsResponseSchema,
} from "../../gen/assay/v1/run_service_pb.js";
import { Failure, invalidField } from "../failure.ts";
import { limits } from "../limits.ts";
import { ReadAhead } from "../rpc/read-ahead.ts";
import { type Recorder, recordResults } from "./recording.ts";
import { recordedCountsToWire, resultsFromWire, textBytes } from "./result-wire.ts";
import { runIdFromWire } from "./run-wire.ts";

/** A frame is decoded while the one before is written; a third would only take memory. */
const readAhead = { items: 2, bytes: 2 * limits.maxBatchBytes };

/**
 * Records frame by frame and answers each once it is durable. The first frame that fails ends the stream; its failure tells
 * the number of the frame. Those before it stay.
 */
export async function* recordFrames(
  recorder: Recorder,
  projectId: string,
  requests: AsyncIterable<StreamRecordResultsRequest>,
): AsyncGenerator<StreamRecordResultsResponse> {
  await using input = new ReadAhead(requests, frameBytes, readAhead);
  for (;;) {
    const frames = await input.take();
    if (frames.length === 0) return;
    for (const frame of frames) yield await recordFrame(recorder, projectId, frame);
  }
}

async function recordFrame(
  recorder: Recorder,
  projectId: string,
  { runId, frameNumber, results, overwrite }: StreamRecordResultsRequest,
): Promise<StreamRecordResultsResponse> {
  try {
    if (results.length === 0) throw invalidField("results", "is required");
    const { counts, resultIds } = await recordResults(recorder, projectId, {
      runId: runIdFromWire("run_id", runId),
      results: resultsFromWire(results),
      overwrite,
    });
    return create(StreamRecordResultsResponseSchema, {
      frameNumber,
      counts: recordedCountsToWire(counts),
      resultIds: [...resultIds],
    });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { reason, facts, violations, message } = error;
    throw new Failure(reason, { ...facts, frame_number: frameNumber }, violations, message);
  }
}

function frameBytes({ results }: StreamRecordResultsRequest): number {
  return results.reduce((sum, result) => sum + textBytes(result), 0);
}
