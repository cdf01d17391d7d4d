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

/** The effect of recording. */
export interface RecordAnswer {
  readonly counts: RecordedCounts;
  /** The id of each result, in the order of the request. */
  readonly resultIds: readonly string[];
}

/** The resources that recording needs. */
export interface Recorder {
  readonly pool: Pool;
  /** Notified of every run that changes, by run_id. */
  readonly changes: Notifications;
  /** Held by every writer in a run, by run_id. */
  readonly mutex: KeyedMutex;
  readonly covered: CoveredItemsCache;
  readonly batcher: Batcher<RequestBatch, BatchOutcome>;
}

/** Requests of one caller for one run, in the order in which to write them. */
type RequestBatch = readonly [CheckedRequest, ...CheckedRequest[]];

/** The outcome of a batch: the answers to the requests that were written, and the error of the next one. */
interface BatchOutcome {
  readonly answers: readonly RecordAnswer[];
  readonly error?: unknown;
}

/**
 * The most results to write in one transaction. A larger group commit saves little more; a smaller one answers the first of
 * them sooner.
 */
const maxTogether = 4_000;

/** The most runs to remember as repeating. */
const mostRepeating = 10_000;

/** Returns a recorder with a cache and a batcher of its own. */
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
 * Runs in which cells that have results are recorded again: errors that were retried, frames that were sent twice. In all other
 * runs, results are written without a look-up.
 */
type RepeatingRuns = LRUCache<string, true>;

/** A request that was checked against the immutable facts of its run. */
export interface CheckedRequest {
  readonly scope: RunScope;
  readonly request: RecordRequest;
  /** The version of each item, possibly among other items. */
  readonly itemVersions: ReadonlyMap<string, bigint>;
}

/**
 * Records results, all or nothing, and returns once they are durable. The cost does not depend on the number of results that the
 * run has.
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
 * The first half of recording: the checks that need no lock on the run, so that others can record in it meanwhile. A version
 * never changes, so neither do the items that the run covers.
 *
 * @param known a run that is known to exist in the project; saves callers that record repeatedly a look-up.
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
 * The second half, for requests for one run, in their order: each is written all or nothing, and none after one that fails.
 * The error may be a Failure RUN_NOT_FOUND, RUN_ENDED, RESULT_FINAL, ITEM_PURGED or LIMIT_EXCEEDED.
 */
export async function writeRequests({ batcher }: Recorder, requests: RequestBatch): Promise<BatchOutcome> {
  return batcher.add(requests[0].scope.runId, requests);
}

/**
 * Writes the requests of several callers for one run in a single transaction. If that fails, each request is written on its
 * own, so that only the faulty one fails.
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
 * Writes requests for one run in one transaction: first without a look-up of current results, unless the run is known to repeat
 * cells. Returns undefined if that failed.
 */
async function tryTogether(
  pool: Pool,
  repeating: RepeatingRuns,
  requests: readonly CheckedRequest[],
): Promise<RecordAnswer[] | undefined> {
  const runId = requests[0]?.scope.runId ?? "";
  const mayRepeat = repeating.get(runId) === true || requests.some(({ request }) => request.overwrite);
  for (const lookUp of mayRepeat ? [true] : [false, true]) {
    // A single request is not tried with a look-up here: writeOneByOne does the same.
    if (lookUp && requests.length === 1) return undefined;
    try {
      return await transaction(pool, (client) => recordLocked(client, requests, lookUp));
    } catch (error) {
      // Other faults recur one by one, for the request that causes them. Two requests for one cell then succeed: the second
      // sees the first.
      if (databaseFault(error)?.kind !== "unique") return undefined;
      repeating.set(runId, true);
    }
  }
  return undefined;
}

/** Writes each request in a transaction of its own, up to the first one that fails. */
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
 * Records requests for one run, with distinct cells. Returns the answer to each.
 *
 * @param lookUp whether cells may have results already. If false and a cell has one, the unique index refuses the insert.
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
  const { resultIds, rescored } = await writeResults(client, run, decided.flat());
  const ids = cutInto(resultIds, lengths);
  return decided.map((own, index) => ({ counts: countKinds(own, rescored), resultIds: ids[index] ?? [] }));
}

function countKinds(
  decided: readonly { readonly decision: ResultDecision }[],
  rescored: ReadonlySet<bigint>,
): RecordedCounts {
  const counts = { created: 0, replaced: 0, unchanged: 0, rescored: 0 };
  for (const { decision } of decided) {
    const isRescored = decision.kind === "unchanged" && rescored.has(decision.current.number);
    counts[isRescored ? "rescored" : decision.kind]++;
  }
  return counts;
}

/** Cuts a list into consecutive parts of these lengths. Parts past the end of the list are shorter or empty. */
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
