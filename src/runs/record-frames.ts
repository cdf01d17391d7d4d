import { create } from "@bufbuild/protobuf";
import {
  type StreamRecordResultsRequest,
  type StreamRecordResultsResponse,
  StreamRecordResultsResponseSchema,
} from "../../gen/assay/v1/run_service_pb.js";
import { Failure, invalidField } from "../failure.ts";
import { limits } from "../limits.ts";
import { ReadAhead } from "../rpc/read-ahead.ts";
import { type PreparedRecording, prepareRecording, type Recorder, writeRecordings } from "./recording.ts";
import { recordedCountsToWire, resultsFromWire, textBytes } from "./result-wire.ts";
import { runIdFromWire } from "./run-wire.ts";

/**
 * Frames that are received and checked while others are written, and then written together. More would take memory and
 * gain nothing.
 */
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
  const takeNext = async () => prepareFrames(recorder, projectId, await input.take());
  for (let next = takeNext(); ; ) {
    const { frames, error } = await next;
    // Received and checked while those before are written.
    next = heard(takeNext());
    for (const group of byRun(frames)) yield* writeFrames(recorder, group);
    if (error !== undefined) throw error;
    if (frames.length === 0) return;
  }
}

/** A promise whose failure nobody may come to hear, because one before it failed: that is no fault. */
function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

interface PreparedFrame {
  readonly frameNumber: bigint;
  readonly recording: PreparedRecording;
}

type FrameGroup = readonly [PreparedFrame, ...PreparedFrame[]];

/** Checks frames up to the first one that fails, and tells why it does. */
async function prepareFrames(
  recorder: Recorder,
  projectId: string,
  requests: readonly StreamRecordResultsRequest[],
): Promise<{ frames: readonly PreparedFrame[]; error?: unknown }> {
  const frames: PreparedFrame[] = [];
  for (const { runId, frameNumber, results, overwrite } of requests) {
    try {
      if (results.length === 0) throw invalidField("results", "is required");
      const recording = await prepareRecording(recorder, projectId, {
        runId: runIdFromWire("run_id", runId),
        results: await resultsFromWire(results),
        overwrite,
      });
      frames.push({ frameNumber, recording });
    } catch (error) {
      return { frames, error: tellingFrame(frameNumber, error) };
    }
  }
  return { frames };
}

/** Frames that follow each other and are about one run. */
function byRun(frames: readonly PreparedFrame[]): FrameGroup[] {
  const groups: [PreparedFrame, ...PreparedFrame[]][] = [];
  for (const frame of frames) {
    const last = groups.at(-1);
    if (last?.[0].recording.scope.runId === frame.recording.scope.runId) last.push(frame);
    else groups.push([frame]);
  }
  return groups;
}

/** Writes frames about one run and answers them. Throws behind the last one that was written, if not all were. */
async function* writeFrames(
  recorder: Recorder,
  [first, ...others]: FrameGroup,
): AsyncGenerator<StreamRecordResultsResponse> {
  const frames = [first, ...others];
  const { answers, error } = await writeRecordings(recorder, [
    first.recording,
    ...others.map(({ recording }) => recording),
  ]);
  for (const [index, { counts, resultIds }] of answers.entries()) {
    yield create(StreamRecordResultsResponseSchema, {
      frameNumber: frames[index]?.frameNumber ?? 0n,
      counts: recordedCountsToWire(counts),
      resultIds: [...resultIds],
    });
  }
  const failed = frames[answers.length];
  if (failed !== undefined) throw tellingFrame(failed.frameNumber, error);
}

/** Adds the number of the frame to the facts of a failure. */
function tellingFrame(frameNumber: bigint, error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const { reason, facts, violations, message } = error;
  return new Failure(reason, { ...facts, frame_number: frameNumber }, violations, message);
}

function frameBytes({ results }: StreamRecordResultsRequest): number {
  return results.reduce((sum, result) => sum + textBytes(result), 0);
}
