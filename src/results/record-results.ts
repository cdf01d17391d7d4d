import { LRUCache } from "lru-cache";
import { Batcher } from "../db/batcher.ts";
import type { KeyedMutex } from "../db/keyed-mutex.ts";
import type { Notifications } from "../db/notifications.ts";
import type { Client, Pool } from "../db/pool.ts";
import { databaseFault } from "../db/sqlstate.ts";
import { transaction } from "../db/transaction.ts";
import { listPurged } from "../items/purge-store.ts";
import { advanceRun, lockRun } from "../runs/locked-run-store.ts";
import { type LockedRun, type RunScope, requireOpen, resultId } from "../runs/run.ts";
import { getRunScope } from "../runs/run-store.ts";
import { CoveredItemsCache } from "./covered-items-cache.ts";
import {
  findCurrentResults,
  insertResults,
  type PlacedResult,
  supersedeResults,
} from "./current-result-store.ts";
import { type CellChange, syncOpenCells } from "./open-cell-store.ts";
import {
  decideRecordings,
  type NewResult,
  type RecordedCounts,
  type Recording,
  requireCovered,
} from "./result.ts";
import { applyScores, changesNothing, requireScoresFit } from "./score.ts";
import { listScores, type Rescoring, updateScores } from "./score-store.ts";

/** Results that a caller wants recorded, of distinct cells. */
export interface RecordRequest {
  readonly runId: string;
  readonly results: readonly NewResult[];
  /** Whether successes may be replaced. */
  readonly overwrite: boolean;
}

/** What recording did. */
export interface RecordAnswer {
  readonly counts: RecordedCounts;
  /** The id of each result, in the order of the request. */
  readonly resultIds: readonly string[];
}

/** What recording works with. */
export interface Recorder {
  readonly pool: Pool;
  /** Hears of every run that has changed, by its id. */
  readonly changes: Notifications;
  /** Taken by all who write in a run, by its id. */
  readonly mutex: KeyedMutex;
  readonly covered: CoveredItemsCache;
  readonly batcher: Batcher<Prepared, Outcome>;
}

/** Requests of one caller about one run, in the order in which they are to be written. */
type Prepared = readonly [PreparedRecording, ...PreparedRecording[]];

/** What became of them: the answers of those that were written, and why the next one was not. */
interface Outcome {
  readonly answers: readonly RecordAnswer[];
  readonly error?: unknown;
}

/**
 * How many results are written in one transaction at most. More together spare little; the fewer, the sooner the first of
 * them are answered.
 */
const maxTogether = 4_000;

/** How many runs are remembered as repeating. */
const mostRepeating = 10_000;

export function newRecorder(pool: Pool, changes: Notifications, mutex: KeyedMutex): Recorder {
  const repeating: RepeatingRuns = new LRUCache({ max: mostRepeating });
  const countResults = (prepared: Prepared) =>
    prepared.reduce((sum, { request }) => sum + request.results.length, 0);
  const write = async (callers: readonly Prepared[]) => {
    const outcomes = await writeTogether(pool, repeating, callers);
    const runId = callers[0]?.[0].scope.runId;
    if (runId !== undefined) changes.notify(runId);
    return outcomes;
  };
  return {
    pool,
    changes,
    mutex,
    covered: new CoveredItemsCache(pool),
    batcher: new Batcher(mutex, write, countResults, maxTogether),
  };
}

/**
 * The runs in which cells that have results are recorded again: errors that were tried again, frames that were sent twice. In all
 * others nothing is looked up before it is written.
 */
type RepeatingRuns = LRUCache<string, true>;

/** Results that were checked against what never changes about their run. */
export interface PreparedRecording {
  readonly scope: RunScope;
  readonly request: RecordRequest;
  /** The version of each item, and maybe of others. */
  readonly itemVersions: ReadonlyMap<string, bigint>;
}

/**
 * Records results, all or nothing, and returns when they are durable. Costs the same however many results the run has.
 *
 * @throws Failure RUN_NOT_FOUND, RUN_ENDED, ITEM_NOT_IN_RUN, RESULT_FINAL, ITEM_PURGED, LIMIT_EXCEEDED
 */
export async function recordResults(
  recorder: Recorder,
  projectId: string,
  request: RecordRequest,
): Promise<RecordAnswer> {
  const { answers, error } = await writeRecordings(recorder, [
    await prepareRecording(recorder, projectId, request),
  ]);
  const [answer] = answers;
  if (answer === undefined) throw error;
  return answer;
}

/**
 * The first half of recording: what can be checked before the run is locked, while others record in it. A version never
 * changes, so what it covers then is what it covers later.
 *
 * @param known a run that the project has, for those that record in one again and again.
 * @throws Failure RUN_NOT_FOUND, ITEM_NOT_IN_RUN
 */
export async function prepareRecording(
  { pool, covered }: Recorder,
  projectId: string,
  request: RecordRequest,
  known?: RunScope,
): Promise<PreparedRecording> {
  const { runId, results } = request;
  const scope = known?.runId === runId ? known : await getRunScope(pool, projectId, runId);
  const itemVersions = await covered.find(scope, results);
  requireCovered(scope, results, itemVersions);
  return { scope, request, itemVersions };
}

/**
 * The second half, for requests about one run, in their order: each is written all or nothing, and none behind one that
 * fails. The error may be a Failure RUN_NOT_FOUND, RUN_ENDED, RESULT_FINAL, ITEM_PURGED or LIMIT_EXCEEDED.
 */
export async function writeRecordings({ batcher }: Recorder, prepared: Prepared): Promise<Outcome> {
  return batcher.add(prepared[0].scope.runId, prepared);
}

/**
 * Writes what several callers want recorded in one run in a single transaction. Should that fail, each request is written
 * on its own, to tell whose fault it was.
 */
async function writeTogether(
  pool: Pool,
  repeating: RepeatingRuns,
  callers: readonly Prepared[],
): Promise<Outcome[]> {
  const all = callers.flat();
  const runId = callers[0]?.[0].scope.runId ?? "";
  const mayRepeat = repeating.get(runId) === true || all.some(({ request }) => request.overwrite);
  for (const lookUp of mayRepeat ? [true] : [false, true]) {
    if (lookUp && all.length === 1) break;
    try {
      const answers = await transaction(pool, (client) => recordLocked(client, all, lookUp));
      return callers.map((prepared) => ({ answers: answers.splice(0, prepared.length) }));
    } catch (error) {
      // Other faults come up again below, where they belong. Requests about one cell are none: each sees the one before.
      if (databaseFault(error)?.kind !== "unique") break;
      repeating.set(runId, true);
    }
  }
  const outcomes: Outcome[] = [];
  for (const prepared of callers) outcomes.push(await writeEach(pool, prepared));
  return outcomes;
}

async function writeEach(pool: Pool, prepared: Prepared): Promise<Outcome> {
  const answers: RecordAnswer[] = [];
  for (const one of prepared) {
    try {
      answers.push(...(await transaction(pool, (client) => recordLocked(client, [one], true))));
    } catch (error) {
      return { answers, error };
    }
  }
  return { answers };
}

/**
 * Records requests about one run, of distinct cells.
 *
 * @param lookUp whether cells may have results. If not, and one has, the database refuses to give it another.
 */
async function recordLocked(
  client: Client,
  prepared: readonly PreparedRecording[],
  lookUp: boolean,
): Promise<RecordAnswer[]> {
  const scope = (prepared[0] as PreparedRecording).scope;
  const run = await lockRun(client, scope);
  requireOpen(run);
  const results = prepared.flatMap(({ request }) => request.results);
  const current = lookUp ? await findCurrentResults(client, scope, results) : [];
  const itemIds = results.map(({ itemId }) => itemId);
  const purged = await listPurged(client, scope.datasetId, itemIds);
  const decided = prepared.map(({ request }) =>
    decideRecordings(
      run,
      request.results,
      current.splice(0, request.results.length),
      request.overwrite,
      purged,
    ),
  );
  const { resultIds } = await writeDecided(client, run, results, decided.flat(), versionsOf(prepared));
  const ids = [...resultIds];
  return decided.map((recordings) => ({
    counts: countKinds(recordings),
    resultIds: ids.splice(0, recordings.length),
  }));
}

/** The versions of the items of all requests. */
function versionsOf(prepared: readonly PreparedRecording[]): ReadonlyMap<string, bigint> {
  const [first, ...others] = new Set(prepared.map(({ itemVersions }) => itemVersions));
  if (first !== undefined && others.length === 0) return first;
  return new Map(prepared.flatMap(({ itemVersions }) => [...itemVersions]));
}

/** Writes what was decided about results in a locked run. `recordings` are at the positions of their results. */
export async function writeDecided(
  client: Client,
  run: LockedRun,
  results: readonly NewResult[],
  recordings: readonly Recording[],
  itemVersions: ReadonlyMap<string, bigint>,
): Promise<{ readonly resultIds: readonly string[]; readonly places: number }> {
  const placed = place(run, results, recordings, itemVersions);
  const superseded = recordings.flatMap((one) =>
    one.kind === "replaced" ? [{ sequence: one.current.sequence, attempt: one.current.attempt + 1 }] : [],
  );
  await supersedeResults(client, run, superseded);
  await insertResults(client, run, placed.results, run.time);
  const rescorings = await rescore(client, run, results, recordings, placed.sequence);
  await updateScores(client, run, rescorings);
  const places = placed.results.length + rescorings.length;
  if (places > 0) await advanceRun(client, run, { ...countChanges(results, recordings), places });
  await syncOpenCells(client, run, placed.results.map(cellOf));
  return { resultIds: placed.ids, places };
}

function cellOf({ result: { itemId, repetition, error }, attempt }: PlacedResult): CellChange {
  return { itemId, repetition, succeeded: error === undefined, attempts: attempt };
}

interface Placing {
  readonly results: readonly PlacedResult[];
  readonly ids: readonly string[];
  /** The last place given. */
  readonly sequence: bigint;
}

/** Gives new results their places behind the last one of the run, in the order of the request. */
function place(
  run: LockedRun,
  results: readonly NewResult[],
  recordings: readonly Recording[],
  itemVersions: ReadonlyMap<string, bigint>,
): Placing {
  const placed: PlacedResult[] = [];
  let { sequence } = run;
  const ids = results.map((result, index) => {
    const recording = recordings[index];
    if (recording?.kind === "unchanged") return resultId(run.resultIdPrefix, recording.current.number);
    sequence++;
    const attempt = recording?.kind === "replaced" ? recording.current.attempt + 1 : 1;
    placed.push({ result, attempt, sequence, itemVersion: itemVersions.get(result.itemId) ?? 0n });
    return resultId(run.resultIdPrefix, sequence);
  });
  return { results: placed, ids, sequence };
}

/** Applies scores that came with results which were there already. */
async function rescore(
  client: Client,
  run: LockedRun,
  results: readonly NewResult[],
  recordings: readonly Recording[],
  lastSequence: bigint,
): Promise<Rescoring[]> {
  const scored = recordings.flatMap((recording, index) => {
    const scores = results[index]?.scores ?? [];
    return recording.kind === "unchanged" && scores.length > 0 ? [{ ...recording.current, scores }] : [];
  });
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

function countKinds(recordings: readonly Recording[]): RecordedCounts {
  const counts = { created: 0, replaced: 0, unchanged: 0 };
  for (const { kind } of recordings) counts[kind]++;
  return counts;
}

/** What recording adds to the counts of the run. */
function countChanges(results: readonly NewResult[], recordings: readonly Recording[]) {
  const change = { succeeded: 0, failed: 0, carried: 0 };
  recordings.forEach((recording, index) => {
    if (recording.kind === "unchanged") return;
    change[results[index]?.error === undefined ? "succeeded" : "failed"]++;
    if (recording.kind === "created") return;
    change[recording.current.succeeded ? "succeeded" : "failed"]--;
    if (recording.current.carried) change.carried--;
  });
  return change;
}
