import type { Client } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import type { ProjectId } from "../handles.ts";
import { advanceRun, lockRun } from "../runs/locked-run-store.ts";
import type { LockedRun, RunScope } from "../runs/run.ts";
import { getRunScope } from "../runs/run-store.ts";
import { findCurrentResults } from "./current-result-store.ts";
import {
  groupByResult,
  type LateScore,
  type ResultLateScores,
  requireScorable,
  type ScoredResult,
} from "./late-score.ts";
import { findJudgedResults } from "./late-score-store.ts";
import type { Recorder } from "./record-results.ts";
import type { RecordedCounts } from "./result.ts";
import { applyScores, changesNothing, requireScoresFit, type ScoreChange } from "./score.ts";
import { listScores, type Rescoring, updateScores } from "./score-store.ts";

/** Scores that a caller wants recorded. Each pair of result and score name occurs once. */
export interface ScoreRequest {
  readonly runId: string;
  readonly lateScores: readonly LateScore[];
}

/**
 * Records scores of results, all or nothing, in any state of the run, and returns once they are durable. A result whose scores
 * change gets one new sequence number, regardless of how many of them change.
 *
 * @throws Failure RUN_NOT_FOUND, RESULT_NOT_FOUND, RESULT_SUPERSEDED, ITEM_PURGED, INVALID_FIELD, LIMIT_EXCEEDED
 */
export async function recordScores(
  { pool, changes, mutex }: Recorder,
  projectId: ProjectId,
  { runId, lateScores }: ScoreRequest,
): Promise<RecordedCounts> {
  const scope = await getRunScope(pool, projectId, runId);
  const groups = groupByResult(scope, lateScores);
  const counts = await mutex.runExclusive(runId, () =>
    transaction(pool, (client) => recordLocked(client, scope, lateScores, groups)),
  );
  changes.notify(runId);
  return counts;
}

async function recordLocked(
  client: Client,
  scope: RunScope,
  lateScores: readonly LateScore[],
  groups: readonly ResultLateScores[],
): Promise<RecordedCounts> {
  const run = await lockRun(client, scope);
  const numbers = groups.map(({ number }) => number);
  const found = await findJudgedResults(client, scope, numbers);
  requireScorable(run, lateScores, found, await findSuccessors(client, scope, found));
  const changes = await changesOf(client, run, groups, found);
  const rescorings = assignSequences(run, changes);
  await updateScores(client, scope, rescorings);
  if (rescorings.length > 0) {
    await advanceRun(client, run, { succeeded: 0, failed: 0, carried: 0, sequences: rescorings.length });
  }
  return countScores(changes);
}

/** Returns the number of the current result of its cell for each replaced result, by the number of the latter. */
async function findSuccessors(
  client: Client,
  scope: RunScope,
  found: ReadonlyMap<bigint, ScoredResult>,
): Promise<Map<bigint, bigint>> {
  const replaced = [...found.values()].filter((result) => result.replaced);
  if (replaced.length === 0) return new Map();
  const current = await findCurrentResults(client, scope, replaced);
  return new Map(replaced.map(({ number }, index) => [number, current[index]?.number ?? 0n]));
}

/** The change to the scores of one result. */
interface ResultChange extends ScoreChange {
  readonly result: ScoredResult;
}

async function changesOf(
  client: Client,
  run: LockedRun,
  groups: readonly ResultLateScores[],
  found: ReadonlyMap<bigint, ScoredResult>,
): Promise<ResultChange[]> {
  const judged = groups.flatMap(({ number, scores }) => {
    const result = found.get(number);
    return result === undefined ? [] : [{ result, scores }];
  });
  const known = await listScores(
    client,
    run,
    judged.map(({ result }) => result.sequence),
  );
  return judged.map(({ result, scores }) => {
    const change = applyScores(known.get(result.sequence) ?? [], scores, run.time);
    requireScoresFit(change.scores, result.bytes);
    return { ...change, result };
  });
}

/** Assigns the sequence numbers after the last one of the run to results whose scores change. */
function assignSequences(run: LockedRun, changes: readonly ResultChange[]): Rescoring[] {
  let newSequence = run.sequence;
  return changes.flatMap((change) => {
    if (changesNothing(change)) return [];
    newSequence++;
    const { result, scores, replaced } = change;
    return [{ number: result.number, oldSequence: result.sequence, newSequence, scores, replaced }];
  });
}

function countScores(changes: readonly ScoreChange[]): RecordedCounts {
  const counts = { created: 0, replaced: 0, unchanged: 0, rescored: 0 };
  for (const { created, replaced, unchanged } of changes) {
    counts.created += created;
    counts.replaced += replaced.length;
    counts.unchanged += unchanged;
  }
  return counts;
}
