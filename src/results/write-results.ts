import type { Client } from "../db/pool.ts";
import { advanceRun } from "../runs/locked-run-store.ts";
import { type LockedRun, resultId } from "../runs/run.ts";
import { insertResults, type SequencedResult, supersedeResults } from "./current-result-store.ts";
import { type CellChange, syncOpenCells } from "./open-cell-store.ts";
import type { NewResult, ResultDecision } from "./result.ts";
import { applyScores, changesNothing, requireScoresFit } from "./score.ts";
import { listScores, type Rescoring, updateScores } from "./score-store.ts";

/** A result and the decision about it. */
export interface DecidedResult {
  readonly result: NewResult;
  readonly decision: ResultDecision;
  /** The version of its item that the run sees. */
  readonly itemVersion: bigint;
}

/** The effect of writing results. */
export interface WrittenResults {
  /** The id of each result, in their order. */
  readonly resultIds: readonly string[];
  /** The numbers of the results that were there already and got other scores. */
  readonly rescored: ReadonlySet<bigint>;
  /** The last sequence number of the run after the write. */
  readonly sequence: bigint;
}

/**
 * Carries out decisions about results of distinct cells in a locked run that is open.
 *
 * @throws Failure LIMIT_EXCEEDED if an unchanged result gets more scores than one may have.
 */
export async function writeResults(
  client: Client,
  run: LockedRun,
  decided: readonly DecidedResult[],
): Promise<WrittenResults> {
  const { fresh, resultIds } = assignSequences(run, decided);
  const superseded = decided.flatMap(({ decision }) =>
    decision.kind === "replaced"
      ? [{ sequence: decision.current.sequence, attempt: decision.current.attempt + 1 }]
      : [],
  );
  await supersedeResults(client, run, superseded);
  await insertResults(client, run, fresh, run.time);
  const rescorings = await rescore(client, run, decided, run.sequence + BigInt(fresh.length));
  await updateScores(client, run, rescorings);
  const sequences = fresh.length + rescorings.length;
  if (sequences > 0) await advanceRun(client, run, { ...countsOf(decided), sequences });
  await syncOpenCells(client, run, fresh.map(cellOf));
  return {
    resultIds,
    rescored: new Set(rescorings.map(({ number }) => number)),
    sequence: run.sequence + BigInt(sequences),
  };
}

function cellOf({ result: { itemId, repetition, error }, attempt }: SequencedResult): CellChange {
  return { itemId, repetition, succeeded: error === undefined, attempts: attempt };
}

/**
 * Assigns the sequence numbers after the last one of the run to new results, in their order.
 *
 * @returns the new results, and the ids of all.
 */
function assignSequences(
  run: LockedRun,
  decided: readonly DecidedResult[],
): { readonly fresh: readonly SequencedResult[]; readonly resultIds: readonly string[] } {
  const fresh: SequencedResult[] = [];
  let { sequence } = run;
  const resultIds = decided.map(({ result, decision, itemVersion }) => {
    if (decision.kind === "unchanged") return resultId(run.resultIdPrefix, decision.current.number);
    sequence++;
    const attempt = decision.kind === "replaced" ? decision.current.attempt + 1 : 1;
    fresh.push({ result, attempt, sequence, itemVersion });
    return resultId(run.resultIdPrefix, sequence);
  });
  return { fresh, resultIds };
}

/** Applies the scores that came with unchanged results. */
async function rescore(
  client: Client,
  run: LockedRun,
  decided: readonly DecidedResult[],
  lastSequence: bigint,
): Promise<Rescoring[]> {
  const scored = decided.flatMap(({ result: { scores }, decision }) =>
    decision.kind === "unchanged" && scores.length > 0 ? [{ ...decision.current, scores }] : [],
  );
  if (scored.length === 0) return [];
  const known = await listScores(
    client,
    run,
    scored.map((one) => one.sequence),
  );
  let newSequence = lastSequence;
  return scored.flatMap(({ number, sequence, bytes, scores }) => {
    const change = applyScores(known.get(sequence) ?? [], scores, run.time);
    requireScoresFit(change.scores, bytes);
    if (changesNothing(change)) return [];
    newSequence++;
    return [{ number, oldSequence: sequence, newSequence, scores: change.scores, replaced: change.replaced }];
  });
}

/** Returns the amounts that recording adds to the counts of the run. */
function countsOf(decided: readonly DecidedResult[]) {
  const change = { succeeded: 0, failed: 0, carried: 0 };
  for (const { result, decision } of decided) {
    if (decision.kind === "unchanged") continue;
    change[result.error === undefined ? "succeeded" : "failed"]++;
    if (decision.kind === "created") continue;
    change[decision.current.succeeded ? "succeeded" : "failed"]--;
    if (decision.current.carried) change.carried--;
  }
  return change;
}
