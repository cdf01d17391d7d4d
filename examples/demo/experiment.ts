import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import { AnnotatorKind, type RunResult, type RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import { type Run, Run_State } from "../../gen/itembank/v1/run_pb.js";
import type { RunService, StreamRecordResultsRequestSchema } from "../../gen/itembank/v1/run_service_pb.js";
import { sampleName } from "./sample.ts";
import { slip } from "./solvers/slips.ts";
import { NotUnderstoodError, type Solver } from "./solvers/solver.ts";

/** A solver that answers all items of a version, several times. */
export interface Experiment {
  readonly solver: Solver;
  /** The label by which the demo finds the run when it starts again. */
  readonly label: string;
  readonly repetitions: number;
  /** How many cells at the end are left out, as if their worker had been stopped. */
  readonly leftOut: number;
}

type OutgoingResult = MessageInitShape<typeof RunResultSchema>;
type Runs = Client<typeof RunService>;

const dataset = { by: { case: "name", value: sampleName } } as const;

/** Results per frame, and the pause after each: real solvers are slower than these, and the pause makes progress visible. */
const frameSize = 20;
const pauseMilliseconds = 20;

/** Returns the finished run of an experiment on a version, undefined if there is none. */
export async function findFinishedRun(runs: Runs, version: bigint, label: string): Promise<Run | undefined> {
  const { runs: found } = await runs.listRuns({
    dataset,
    datasetVersion: version,
    label,
    states: [Run_State.COMPLETED],
  });
  return found[0];
}

/**
 * Runs an experiment on a version: streams results in on one stream, follows them on another, and finishes the run.
 *
 * @param onFollowed receives the number of results that the other stream has returned, and how many of them are errors.
 */
export async function runExperiment(
  runs: Runs,
  { solver, label, repetitions, leftOut }: Experiment,
  version: bigint,
  items: readonly Item[],
  onFollowed: (results: number, errors: number) => void,
): Promise<Run> {
  const { run: created } = await runs.createRun({
    dataset,
    at: { by: { case: "version", value: version } },
    run: {
      repetitions,
      targetType: "program",
      targetId: solver.id,
      labels: [label],
      description: solver.description,
    },
  });
  const runId = created?.runId ?? "";
  const answered = answerAll(solver, items, repetitions).slice(0, items.length * repetitions - leftOut);
  const over = new AbortController();
  try {
    const [run] = await Promise.all([
      follow(runs, runId, over.signal, onFollowed),
      record(runs, runId, answered).then(() => runs.finishRun({ runId })),
    ]);
    return run;
  } finally {
    over.abort();
  }
}

/** Answers all cells, repetition by repetition. */
function answerAll(solver: Solver, items: readonly Item[], repetitions: number): OutgoingResult[] {
  return Array.from({ length: repetitions }, (_, index) => index + 1).flatMap((repetition) =>
    items.map((item) => answer(solver, item, repetition)),
  );
}

function answer(solver: Solver, item: Item, repetition: number): OutgoingResult {
  const { question } = JSON.parse(item.inputJson);
  const started = performance.now();
  const latency = () => ({ seconds: 0n, nanos: Math.round((performance.now() - started) * 1e6) });
  try {
    const given = slip(solver.solve(question), solver.id, item.itemId, repetition);
    const output = JSON.stringify(given);
    const correct = output === item.expectedOutputJson;
    return {
      itemId: item.itemId,
      repetition,
      outcome: { case: "outputJson", value: output },
      latency: latency(),
      scores: [{ name: "correct", value: correct ? 1 : 0, annotatorKind: AnnotatorKind.CODE }],
    };
  } catch (error) {
    if (!(error instanceof NotUnderstoodError)) throw error;
    const outcome = { case: "error", value: { code: "NOT_UNDERSTOOD", message: error.message } } as const;
    return { itemId: item.itemId, repetition, outcome, latency: latency() };
  }
}

/** Streams results in. They are durable when this returns. */
async function record(runs: Runs, runId: string, results: readonly OutgoingResult[]): Promise<void> {
  let frame = 0n;
  for await (const { frameNumber } of runs.streamRecordResults(frames(runId, results))) {
    frame = frameNumber;
  }
  const sent = BigInt(Math.ceil(results.length / frameSize));
  if (frame !== sent) throw new Error(`${sent} frames of results were sent, but only ${frame} answered`);
}

async function* frames(
  runId: string,
  results: readonly OutgoingResult[],
): AsyncGenerator<MessageInitShape<typeof StreamRecordResultsRequestSchema>> {
  for (let start = 0, frameNumber = 1n; start < results.length; start += frameSize, frameNumber++) {
    yield { runId, frameNumber, results: results.slice(start, start + frameSize) };
    await sleep(pauseMilliseconds);
  }
}

/** Follows the results of a run until it has ended, and returns the ended run. */
async function follow(
  runs: Runs,
  runId: string,
  signal: AbortSignal,
  onFollowed: (results: number, errors: number) => void,
): Promise<Run> {
  let [results, errors] = [0, 0];
  for await (const { frame } of runs.streamResults({ runId, follow: true }, { signal })) {
    if (frame.case === "batch") {
      results += frame.value.results.length;
      errors += frame.value.results.filter(({ outcome }) => outcome.case === "error").length;
      onFollowed(results, errors);
    }
    if (frame.case === "end" && frame.value.run) return frame.value.run;
  }
  throw new Error("the stream of results ended without its last frame");
}

/** Lists the results of a run for one item, by repetition. */
export async function listAnswers(runs: Runs, runId: string, itemId: string): Promise<RunResult[]> {
  const { results } = await runs.listResults({ runId, itemId });
  return results;
}
