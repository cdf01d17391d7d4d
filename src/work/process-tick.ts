import type { Instant } from "../db/instant.ts";
import type { Client } from "../db/pool.ts";
import { failure } from "../failure.ts";
import { lockRun } from "../runs/locked-run-store.ts";
import { hasEnded, type LockedRun, type RunScope } from "../runs/run.ts";
import { type Lease, leaseId } from "./lease.ts";
import { type Lessee, leaseCells } from "./lease-cells.ts";
import {
  countLeases,
  type EndedLease,
  expireLeases,
  findFewestAttempts,
  type LeaseCount,
  releaseLeases,
  renewLeases,
} from "./lease-store.ts";
import { dropWork, recordWork } from "./record-work.ts";
import type { IdentifiedLease, WorkAnswer, WorkerTerms, WorkFrame } from "./work.ts";
import { findStreams, openStream, startDispatch } from "./worker-store.ts";

/** The state of a worker session, one per stream, that a tick reads. */
export interface SessionState {
  readonly terms: WorkerTerms;
  readonly capacity: number;
  /** 0 before it has joined. */
  readonly streamNumber: bigint;
  /** The leases that it got and that have not ended as far as this process knows: ids by number. */
  readonly leaseIds: ReadonlyMap<bigint, string>;
  /** Leases that ended and whose loss has not been reported to it. */
  readonly lostLeaseIds: readonly string[];
  /** Whether it let a lease expire and has sent nothing since. It gets no new lease then. */
  readonly isSilent: boolean;
}

/** A request that a session submits to a tick. */
export type TickRequest = WorkFrame | { readonly kind: "join" };

/** The reason why a worker has nothing to do. */
export type Idleness =
  /** Other workers hold cells that may come back. */
  | { readonly kind: "idle"; readonly leasedCellCount: number }
  /** There will never be work for it again. */
  | { readonly kind: "drained" };

/** The changes that a tick made to a session. */
export interface SessionUpdate extends Omit<SessionState, "terms"> {
  /** Set if its request gets an answer. */
  readonly answer: WorkAnswer | undefined;
  /** New leases to report to it, in order. */
  readonly newLeases: readonly IdentifiedLease[];
  /** Undefined if it has something to do. */
  readonly idleness: Idleness | undefined;
}

/** The outcome of a tick. */
export interface TickOutcome<S> {
  /** The update of each session whose stream is the newest of its worker. */
  readonly updates: ReadonlyMap<S, SessionUpdate>;
  /** Sessions whose worker has a newer stream. */
  readonly superseded: readonly S[];
  /** Leases of any worker that ended at their deadline. */
  readonly expired: readonly EndedLease[];
  readonly hasEnded: boolean;
  /** Whether to notify others, since there may be cells or results for them. */
  readonly hasChanged: boolean;
  /** Whether another tick may find cells for sessions that have room left. */
  readonly hasMore: boolean;
  /** Microseconds until the first lease ends, if a worker has room for its cell. */
  readonly firstDeadline: bigint | undefined;
}

/** The state of a session in the course of a tick. */
interface SessionDraft extends Lessee {
  streamNumber: bigint;
  capacity: number;
  readonly leaseIds: Map<bigint, string>;
  lostLeaseIds: string[];
  isSilent: boolean;
  answer: WorkAnswer | undefined;
  readonly newLeases: IdentifiedLease[];
}

/**
 * Processes one tick of the work on a run, under its lock: handles the requests of workers, then leases cells to those that have
 * room. It has no effect outside the transaction, so it may be retried.
 *
 * @param requests The sessions with a request, and without one those that have room.
 * @throws Failure RUN_NOT_FOUND; LIMIT_EXCEEDED, see `recordWork`.
 */
export async function processTick<S extends SessionState>(
  client: Client,
  scope: RunScope,
  requests: ReadonlyMap<S, TickRequest | undefined>,
): Promise<TickOutcome<S>> {
  let run = await lockRun(client, scope);
  const expired = await expireLeases(client, run);
  const drafts = new Map([...requests.keys()].map((session) => [session, draftOf(session)]));
  const isOpen = !hasEnded(run.state);
  for (const { workerId, number } of expired) {
    for (const draft of drafts.values()) if (draft.workerId === workerId) loseLease(draft, number);
  }
  for (const [session, draft] of drafts) {
    draft.isSilent =
      requests.get(session) === undefined &&
      (session.isSilent || draft.lostLeaseIds.length > session.lostLeaseIds.length);
  }

  for (const [session, draft] of drafts) {
    if (requests.get(session)?.kind !== "join" || !isOpen) continue;
    if (run.dispatchPosition === undefined) run = await startDispatch(client, run);
    await join(client, run, draft);
  }
  const superseded = isOpen ? await removeSuperseded(client, run, drafts) : [];
  const results = await recordSentResults(client, run, { isOpen, requests, drafts });
  run = results.run;
  let released = 0;
  for (const [session, draft] of drafts) {
    const request = requests.get(session);
    if (request?.kind === "heartbeat") await renew(client, run, draft, request.capacity);
    if (request?.kind === "release") released += await release(client, run, draft, request.leaseNumbers);
  }

  const remaining = await leaseToSessions(client, run, isOpen ? [...drafts.values()] : []);
  return {
    updates: new Map([...drafts].map(([session, draft]) => [session, updateOf(draft, isOpen, remaining)])),
    superseded,
    expired,
    hasEnded: !isOpen,
    hasChanged: results.hasChanged || released > 0,
    hasMore: remaining.hasMore,
    firstDeadline: remaining.firstDeadline,
  };
}

function draftOf({ terms, capacity, streamNumber, leaseIds, lostLeaseIds }: SessionState): SessionDraft {
  return {
    workerId: terms.workerId,
    maxAttempts: terms.maxAttempts,
    leaseMicros: terms.leaseMicros,
    capacity,
    streamNumber,
    leaseIds: new Map(leaseIds),
    lostLeaseIds: [...lostLeaseIds],
    isSilent: false,
    held: 0,
    free: 0,
    answer: undefined,
    newLeases: [],
  };
}

function loseLease(draft: SessionDraft, number: bigint): void {
  const id = draft.leaseIds.get(number);
  if (id !== undefined && draft.leaseIds.delete(number)) draft.lostLeaseIds.push(id);
}

/** Opens the stream of a worker that joins or rejoins. One that rejoins keeps its leases. */
async function join(client: Client, run: LockedRun, draft: SessionDraft): Promise<void> {
  draft.streamNumber = await openStream(client, run, draft.workerId);
  for (const lease of await renewLeases(client, run, draft.workerId, run.time + draft.leaseMicros)) {
    addLease(run, draft, lease);
  }
}

function addLease(run: RunScope, draft: SessionDraft, lease: Lease): void {
  const id = leaseId(run.runId, lease.number, lease);
  draft.leaseIds.set(lease.number, id);
  draft.newLeases.push({ ...lease, leaseId: id });
}

async function removeSuperseded<S>(
  client: Client,
  run: LockedRun,
  drafts: Map<S, SessionDraft>,
): Promise<S[]> {
  const workerIds = [...drafts.values()].map((draft) => draft.workerId);
  const streams = await findStreams(client, run, [...new Set(workerIds)]);
  const superseded = [...drafts].flatMap(([session, draft]) =>
    streams.get(draft.workerId) === draft.streamNumber ? [] : [session],
  );
  for (const session of superseded) drafts.delete(session);
  return superseded;
}

/** The requests of sessions, with the drafts to update. */
interface SentFrames<S> {
  /** Whether the run still takes results. */
  readonly isOpen: boolean;
  readonly requests: ReadonlyMap<S, TickRequest | undefined>;
  readonly drafts: ReadonlyMap<S, SessionDraft>;
}

async function recordSentResults<S>(
  client: Client,
  run: LockedRun,
  { isOpen, requests, drafts }: SentFrames<S>,
): Promise<{ readonly run: LockedRun; readonly hasChanged: boolean }> {
  const senders = [...drafts].flatMap(([session, draft]) => {
    const request = requests.get(session);
    return request?.kind === "results" ? [{ draft, results: request.results }] : [];
  });
  if (senders.length === 0) return { run, hasChanged: false };
  const sent = senders.flatMap(({ draft, results }) =>
    results.map((result) => ({ ...result, workerId: draft.workerId })),
  );
  const recorded = isOpen
    ? await recordWork(client, run, sent)
    : { run, outcomes: await dropWork(client, run, sent) };
  let at = 0;
  for (const { draft, results } of senders) {
    const acks = results.map((result) => {
      if (!draft.leaseIds.delete(result.leaseNumber)) {
        draft.lostLeaseIds = draft.lostLeaseIds.filter((id) => id !== result.leaseId);
      }
      return { leaseId: result.leaseId, outcome: recorded.outcomes[at++] ?? "dropped" };
    });
    draft.answer = { kind: "acks", acks };
  }
  return { run: recorded.run, hasChanged: recorded.outcomes.includes("recorded") };
}

async function renew(
  client: Client,
  run: LockedRun,
  draft: SessionDraft,
  capacity: number | undefined,
): Promise<void> {
  draft.capacity = capacity ?? draft.capacity;
  const deadline = run.time + draft.leaseMicros;
  const lasting = new Set(
    (await renewLeases(client, run, draft.workerId, deadline)).map((lease) => lease.number),
  );
  for (const number of [...draft.leaseIds.keys()]) if (!lasting.has(number)) loseLease(draft, number);
  draft.answer = { kind: "renewal", deadline, lostLeaseIds: draft.lostLeaseIds };
  draft.lostLeaseIds = [];
}

async function release(
  client: Client,
  run: LockedRun,
  draft: SessionDraft,
  numbers: readonly bigint[],
): Promise<number> {
  if (numbers.length === 0) draft.leaseIds.clear();
  for (const number of numbers) draft.leaseIds.delete(number);
  return releaseLeases(client, run, draft.workerId, numbers);
}

/** The work that the run still has for workers with room left. */
interface RemainingWork {
  readonly hasMore: boolean;
  readonly firstDeadline: bigint | undefined;
  /** All leases of the run; undefined while there are cells to lease, and if no worker has room. */
  readonly leases: readonly LeaseCount[] | undefined;
  /** The fewest attempts that a waiting cell has had. */
  readonly fewestAttempts: number;
}

const notLookedUp: RemainingWork = {
  hasMore: false,
  firstDeadline: undefined,
  leases: undefined,
  fewestAttempts: Number.POSITIVE_INFINITY,
};

async function leaseToSessions(
  client: Client,
  run: LockedRun,
  drafts: readonly SessionDraft[],
): Promise<RemainingWork> {
  const { dispatchPosition } = run;
  if (dispatchPosition === undefined) return notLookedUp;
  for (const draft of drafts) {
    draft.held = draft.leaseIds.size;
    draft.free = draft.isSilent ? 0 : Math.max(draft.capacity - draft.held, 0);
  }
  const leased = await leaseCells(client, { ...run, dispatchPosition }, drafts);
  for (const [draft, leases] of leased.leases) for (const lease of leases) addLease(run, draft, lease);
  const { hasMore, isGridExhausted } = leased;
  const unsatisfied = drafts.filter((draft) => draft.free > 0 || draft.leaseIds.size === 0);
  if (hasMore || !isGridExhausted || unsatisfied.length === 0) return { ...notLookedUp, hasMore };
  const counts = await countLeases(client, run);
  const fewestAttempts = await findFewestAttempts(client, run);
  const deadlines = counts.map((one): Instant => one.firstDeadline - run.time);
  return {
    hasMore,
    firstDeadline: deadlines.reduce<bigint | undefined>(
      (first, one) => (first === undefined || one < first ? one : first),
      undefined,
    ),
    leases: counts,
    fewestAttempts: fewestAttempts ?? Number.POSITIVE_INFINITY,
  };
}

function updateOf(draft: SessionDraft, isOpen: boolean, remaining: RemainingWork): SessionUpdate {
  const { capacity, streamNumber, leaseIds, lostLeaseIds, isSilent, answer, newLeases } = draft;
  const idleness: Idleness | undefined = isOpen ? idlenessOf(draft, remaining) : { kind: "drained" };
  return { capacity, streamNumber, leaseIds, lostLeaseIds, isSilent, answer, newLeases, idleness };
}

/**
 * Returns why a worker without a lease has nothing to do; undefined if it has. It may get work later if a cell that is leased or
 * waiting has attempts left for it; every other cell has a success or no attempts left.
 */
function idlenessOf(
  { workerId, maxAttempts, leaseIds, isSilent }: SessionDraft,
  { leases, fewestAttempts }: RemainingWork,
): Idleness | undefined {
  if (leases === undefined || leaseIds.size > 0 || isSilent) return undefined;
  if (fewestAttempts >= maxAttempts && leases.every((lease) => lease.attempts >= maxAttempts)) {
    return { kind: "drained" };
  }
  const others = leases.filter((lease) => lease.workerId !== workerId);
  return { kind: "idle", leasedCellCount: others.reduce((sum, lease) => sum + lease.count, 0) };
}

/** Returns the failure for a stream whose worker has a newer one. */
export function streamSuperseded(workerId: string) {
  return failure("STREAM_SUPERSEDED", { worker_id: workerId });
}
