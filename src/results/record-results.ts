import { LRUCache } from "lru-cache";
import { Batcher } from "../db/batcher.ts";
import type { KeyedMutex } from "../db/keyed-mutex.ts";
import type { Notifications } from "../db/notifications.ts";
import type { Client, Pool } from "../db/pool.ts";
import { databaseFault } from "../db/sqlstate.ts";
import { transaction } from "../db/transaction.ts";
import type { ProjectId } from "../handles.ts";
import { listPurged } from "../items/purge-store.ts";
import { present } from "../present.ts";
import { lockRun } from "../runs/locked-run-store.ts";
import { type RunScope, requireOpen } from "../runs/run.ts";
import { getRunScope } from "../runs/run-store.ts";
import { CoveredItemsCache } from "./covered-items-cache.ts";
import { findCurrentResults } from "./current-result-store.ts";
import {
  decideResults,
  type NewResult,
  type RecordedCounts,
  type ResultDecision,
  requireCovered,
} from "./result.ts";
import { writeResults } from "./write-results.ts";

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
  readonly batcher: Batcher<RequestBatch, BatchOutcome>;
}

/** Requests of one caller about one run, in the order in which they are to be written. */
type RequestBatch = readonly [CheckedRequest, ...CheckedRequest[]];

/** What became of a batch: the answers of the requests that were written, and why the next one was not. */
interface BatchOutcome {
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
  const countResults = (batch: RequestBatch) =>
    batch.reduce((sum, { request }) => sum + request.results.length, 0);
  const write = async (batches: readonly RequestBatch[]) => {
    const outcomes = await writeBatches(pool, repeating, batches);
    const runId = batches[0]?.[0].scope.runId;
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

/** A request that was checked against what never changes about its run. */
export interface CheckedRequest {
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
  projectId: ProjectId,
  request: RecordRequest,
): Promise<RecordAnswer> {
  const { answers, error } = await writeRequests(recorder, [
    await checkRequest(recorder, projectId, request),
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
export async function checkRequest(
  { pool, covered }: Recorder,
  projectId: ProjectId,
  request: RecordRequest,
  known?: RunScope,
): Promise<CheckedRequest> {
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
export async function writeRequests({ batcher }: Recorder, requests: RequestBatch): Promise<BatchOutcome> {
  return batcher.add(requests[0].scope.runId, requests);
}

/**
 * Writes what several callers want recorded in one run in a single transaction. Should that fail, each request is written
 * on its own, to tell whose fault it was.
 */
async function writeBatches(
  pool: Pool,
  repeating: RepeatingRuns,
  batches: readonly RequestBatch[],
): Promise<BatchOutcome[]> {
  const answers = await tryTogether(pool, repeating, batches.flat());
  if (answers !== undefined) {
    return cutInto(answers, batches.map(lengthOf)).map((own) => ({ answers: own }));
  }
  const outcomes: BatchOutcome[] = [];
  for (const batch of batches) outcomes.push(await writeOneByOne(pool, batch));
  return outcomes;
}

/**
 * Writes requests about one run in one transaction: at first without looking up what their cells have, unless cells of the run
 * are known to be recorded again. Undefined if that failed.
 */
async function tryTogether(
  pool: Pool,
  repeating: RepeatingRuns,
  requests: readonly CheckedRequest[],
): Promise<RecordAnswer[] | undefined> {
  const runId = requests[0]?.scope.runId ?? "";
  const mayRepeat = repeating.get(runId) === true || requests.some(({ request }) => request.overwrite);
  for (const lookUp of mayRepeat ? [true] : [false, true]) {
    // One request alone is not tried with a look-up here: writing one by one does the same.
    if (lookUp && requests.length === 1) return undefined;
    try {
      return await transaction(pool, (client) => recordLocked(client, requests, lookUp));
    } catch (error) {
      // Other faults come up again one by one, where they belong. Requests about one cell are none: each sees the one before.
      if (databaseFault(error)?.kind !== "unique") return undefined;
      repeating.set(runId, true);
    }
  }
  return undefined;
}

/** Writes requests each in a transaction of its own, up to the first one that fails. */
async function writeOneByOne(pool: Pool, batch: RequestBatch): Promise<BatchOutcome> {
  const answers: RecordAnswer[] = [];
  for (const request of batch) {
    try {
      answers.push(...(await transaction(pool, (client) => recordLocked(client, [request], true))));
    } catch (error) {
      return { answers, error };
    }
  }
  return { answers };
}

/**
 * Records requests about one run, of distinct cells. Returns the answer of each.
 *
 * @param lookUp whether cells may have results. If not, and one has, the database refuses to give it another.
 */
async function recordLocked(
  client: Client,
  requests: readonly CheckedRequest[],
  lookUp: boolean,
): Promise<RecordAnswer[]> {
  const { scope } = present(requests[0]);
  const run = await lockRun(client, scope);
  requireOpen(run);
  const results = requests.flatMap(({ request }) => request.results);
  const lengths = requests.map(({ request }) => request.results.length);
  const itemIds = results.map(({ itemId }) => itemId);
  const current = cutInto(lookUp ? await findCurrentResults(client, scope, results) : [], lengths);
  const purged = await listPurged(client, scope.datasetId, itemIds);
  const decided = requests.map(({ request, itemVersions }, index) => {
    const decisions = decideResults(run, { ...request, current: current[index] ?? [], purged });
    return request.results.map((result, at) => ({
      result,
      decision: present(decisions[at]),
      itemVersion: itemVersions.get(result.itemId) ?? 0n,
    }));
  });
  const { resultIds } = await writeResults(client, run, decided.flat());
  const ids = cutInto(resultIds, lengths);
  return decided.map((own, index) => ({ counts: countKinds(own), resultIds: ids[index] ?? [] }));
}

function countKinds(decided: readonly { readonly decision: ResultDecision }[]): RecordedCounts {
  const counts = { created: 0, replaced: 0, unchanged: 0 };
  for (const { decision } of decided) counts[decision.kind]++;
  return counts;
}

/** Cuts a list into consecutive parts of these lengths, the last of them shorter where the list ends early. */
function cutInto<T>(list: readonly T[], lengths: readonly number[]): T[][] {
  let start = 0;
  return lengths.map((length) => {
    const part = list.slice(start, start + length);
    start += length;
    return part;
  });
}

function lengthOf({ length }: { readonly length: number }): number {
  return length;
}
