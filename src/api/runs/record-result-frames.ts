import { create } from "@bufbuild/protobuf";
import {
  type StreamRecordResultsRequest,
  type StreamRecordResultsResponse,
  StreamRecordResultsResponseSchema,
} from "../../../gen/itembank/v1/run_service_pb.js";
import { Failure, invalidField } from "../../failure.ts";
import { limits } from "../../limits.ts";
import {
  type PreparedRecording,
  prepareRecording,
  type Recorder,
  writeRecordings,
} from "../../results/record-results.ts";
import { ReadAhead } from "../../rpc/read-ahead.ts";
import type { RunScope } from "../../runs/run.ts";
import { encodedLength, recordedCountsToWire, resultsFromWire } from "./result-wire.ts";
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
export async function* recordResultFrames(
  recorder: Recorder,
  projectId: string,
  requests: AsyncIterable<StreamRecordResultsRequest>,
): AsyncGenerator<StreamRecordResultsResponse> {
  await using input = new ReadAhead(
    prepareFrames(recorder, projectId, requests),
    (frame) => frame.bytes,
    readAhead,
  );
  for (;;) {
    const frames = await input.take();
    if (frames.length === 0) return;
    for (const group of byRun(frames)) yield* writeFrames(recorder, group);
  }
}

interface PreparedFrame {
  readonly frameNumber: bigint;
  readonly recording: PreparedRecording;
  /** What it holds in memory, about. */
  readonly bytes: number;
}

type FrameGroup = readonly [PreparedFrame, ...PreparedFrame[]];

/** Checks frame by frame, up to the first one that fails. */
async function* prepareFrames(
  recorder: Recorder,
  projectId: string,
  requests: AsyncIterable<StreamRecordResultsRequest>,
): AsyncGenerator<PreparedFrame> {
  let known: RunScope | undefined;
  for await (const { runId, frameNumber, results, overwrite } of requests) {
    try {
      if (results.length === 0) throw invalidField("results", "is required");
      const request = {
        runId: runIdFromWire("run_id", runId),
        results: await resultsFromWire(results),
        overwrite,
      };
      const recording = await prepareRecording(recorder, projectId, request, known);
      known = recording.scope;
      yield {
        frameNumber,
        recording,
        bytes: results.reduce((sum, result) => sum + encodedLength(result), 0),
      };
    } catch (error) {
      throw tellingFrame(frameNumber, error);
    }
  }
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
