import { create } from "@bufbuild/protobuf";
import {
  type StreamRecordResultsRequest,
  type StreamRecordResultsResponse,
  StreamRecordResultsResponseSchema,
} from "../../gen/assay/v1/run_service_pb.js";
import { Failure, invalidField } from "../failure.ts";
import { limits } from "../limits.ts";
import { ReadAhead } from "../rpc/read-ahead.ts";
import { type PreparedRecording, prepareRecording, type Recorder, writeRecording } from "./recording.ts";
import { recordedCountsToWire, resultsFromWire, textBytes } from "./result-wire.ts";
import { runIdFromWire } from "./run-wire.ts";

/** Frames that are received and checked while one is written. More would take memory and gain nothing. */
const readAhead = { items: 4, bytes: 2 * limits.maxBatchBytes };

/**
 * Records frame by frame and answers each once it is durable. The first frame that fails ends the stream; its failure tells
 * the number of the frame. Those before it stay, and those behind it are not written.
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
    let writing: Promise<StreamRecordResultsResponse> | undefined;
    for (const frame of frames) {
      // Checked while the one before is written.
      const prepared = heard(prepareFrame(recorder, projectId, frame));
      if (writing !== undefined) yield await writing;
      writing = heard(writeFrame(recorder, frame, prepared));
    }
    if (writing !== undefined) yield await writing;
  }
}

/** A promise whose failure nobody may come to hear, because one before it failed: that is no fault. */
function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function prepareFrame(
  recorder: Recorder,
  projectId: string,
  { runId, frameNumber, results, overwrite }: StreamRecordResultsRequest,
): Promise<PreparedRecording> {
  return tellingFrame(frameNumber, async () => {
    if (results.length === 0) throw invalidField("results", "is required");
    return prepareRecording(recorder, projectId, {
      runId: runIdFromWire("run_id", runId),
      results: resultsFromWire(results),
      overwrite,
    });
  });
}

async function writeFrame(
  recorder: Recorder,
  { frameNumber }: StreamRecordResultsRequest,
  prepared: Promise<PreparedRecording>,
): Promise<StreamRecordResultsResponse> {
  const recording = await prepared;
  const { counts, resultIds } = await tellingFrame(frameNumber, () => writeRecording(recorder, recording));
  return create(StreamRecordResultsResponseSchema, {
    frameNumber,
    counts: recordedCountsToWire(counts),
    resultIds: [...resultIds],
  });
}

/** Adds the number of the frame to the facts of a failure. */
async function tellingFrame<T>(frameNumber: bigint, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { reason, facts, violations, message } = error;
    throw new Failure(reason, { ...facts, frame_number: frameNumber }, violations, message);
  }
}

function frameBytes({ results }: StreamRecordResultsRequest): number {
  return results.reduce((sum, result) => sum + textBytes(result), 0);
}
