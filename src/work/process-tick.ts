import type { Instant } from "../db/instant.ts";
import type { Client } from "../db/pool.ts";
import { failure } from "../failure.ts";
import { lockRun } from "../runs/locked-run-store.ts";
import { hasEnded, type LockedRun, type RunScope } from "../runs/run.ts";
import { leaseId } from "./lease.ts";
import { type DealtHand, dealCells } from "./lease-cells.ts";
import {
  countLeases,
  type EndedLease,
  expireLeases,
  findFewestAttempts,
  type LeaseCount,
  releaseLeases,
  renewLeases,
} from "./lease-store.ts";
import { dropWork, takeWork } from "./record-work.ts";
import type { GivenLease, WorkAnswer, WorkerTerms, WorkFrame } from "./work.ts";
import { findStreams, openStream, startDealing } from "./worker-store.ts";

/** A worker at one of its streams, as far as a round needs to know it. */
export interface Player {
  readonly terms: WorkerTerms;
  readonly capacity: number;
  /** 0 before it has joined. */
  readonly streamNumber: bigint;
  /** The leases that it was given and that have not ended, as far as is known: ids by number. */
  readonly held: ReadonlyMap<bigint, string>;
  /** Leases that ended and that it was not told of. */
  readonly lost: readonly string[];
  /** Whether it let a lease come to its deadline and has sent nothing since. It gets no other then. */
  readonly isSilent: boolean;
}

/** What a worker wants of a round. */
export type Play = WorkFrame | { readonly kind: "join" };

/** What has become of a worker in a round. */
export interface Standing {
  readonly capacity: number;
  readonly streamNumber: bigint;
  readonly held: ReadonlyMap<bigint, string>;
  readonly lost: readonly string[];
  readonly isSilent: boolean;
  /** Set if its play is to be answered. */
  readonly answer: WorkAnswer | undefined;
  /** Leases to tell it of, in order. */
  readonly leases: readonly GivenLease[];
  /** Set if there is nothing for it to do: whether there may be later. */
  readonly nothing: { readonly leasedCellCount: number } | "ever" | undefined;
}

/** What a round did. */
export interface Round<P> {
  /** Of each player whose stream is the newest of its worker. */
  readonly standings: ReadonlyMap<P, Standing>;
  /** Players with a newer stream of their worker. */
  readonly superseded: readonly P[];
  /** Leases of anybody that ended at their deadline. */
  readonly expired: readonly EndedLease[];
  readonly hasEnded: boolean;
  /** Whether others have to hear of it, since there may be cells or results for them. */
  readonly isNews: boolean;
  /** Whether another round may find cells for players who have room left. */
  readonly more: boolean;
  /** In how many microseconds the first lease ends, if somebody has room for its cell. */
  readonly firstDeadline: bigint | undefined;
}

/** A player's state in the course of a round. */
interface Hand extends DealtHand {
  streamNumber: bigint;
  capacity: number;
  readonly numbers: Map<bigint, string>;
  lost: string[];
  isSilent: boolean;
  answer: WorkAnswer | undefined;
  readonly given: GivenLease[];
}

/**
 * One round of the work on a run, under its lock: takes what workers have sent, and deals cells to those who have room. It has
 * no effect outside of the transaction, so it may be repeated.
 *
 * @param plays The players: those who have sent something, with it, and those who have room.
 * @throws Failure RUN_NOT_FOUND; LIMIT_EXCEEDED, see `takeWork`.
 */
export async function playRound<P extends Player>(
  client: Client,
  scope: RunScope,
  plays: ReadonlyMap<P, Play | undefined>,
): Promise<Round<P>> {
  let run = await lockRun(client, scope);
  const expired = await expireLeases(client, run);
  const hands = new Map([...plays.keys()].map((player) => [player, handOf(player)]));
  const isOpen = !hasEnded(run.state);
  for (const { workerId, number } of expired) {
    for (const hand of hands.values()) if (hand.workerId === workerId) lose(hand, number);
  }
  for (const [player, play] of plays) {
    const hand = hands.get(player) as Hand;
    hand.isSilent = play === undefined && (player.isSilent || hand.lost.length > player.lost.length);
  }

  for (const [player, hand] of hands) {
    if (plays.get(player)?.kind !== "join" || !isOpen) continue;
    if (run.dealt === undefined) run = await startDealing(client, run);
    await join(client, run, hand);
  }
  const superseded = isOpen ? await removeSuperseded(client, run, hands) : [];
  const results = await takeResults(client, run, isOpen, plays, hands);
  run = results.run;
  let released = 0;
  for (const [player, hand] of hands) {
    const play = plays.get(player);
    if (play?.kind === "heartbeat") await renew(client, run, hand, play.capacity);
    if (play?.kind === "release") released += await release(client, run, hand, play.leaseNumbers);
  }

  const table = await deal(client, run, isOpen ? [...hands.values()] : []);
  return {
    standings: new Map([...hands].map(([player, hand]) => [player, standingOf(hand, isOpen, table)])),
    superseded,
    expired,
    hasEnded: !isOpen,
    isNews: results.isNews || released > 0,
    more: table.more,
    firstDeadline: table.firstDeadline,
  };
}

function handOf({ terms, capacity, streamNumber, held, lost }: Player): Hand {
  return {
    workerId: terms.workerId,
    maxAttempts: terms.maxAttempts,
    leaseMicros: terms.leaseMicros,
    capacity,
    streamNumber,
    numbers: new Map(held),
    lost: [...lost],
    isSilent: false,
    held: 0,
    free: 0,
    answer: undefined,
    given: [],
  };
}

function lose(hand: Hand, number: bigint): void {
  const id = hand.numbers.get(number);
  if (id !== undefined && hand.numbers.delete(number)) hand.lost.push(id);
}

/** Opens the stream of a worker that joins or comes back, which still has its leases then. */
async function join(client: Client, run: LockedRun, hand: Hand): Promise<void> {
  hand.streamNumber = await openStream(client, run, hand.workerId);
  for (const lease of await renewLeases(client, run, hand.workerId, run.time + hand.leaseMicros)) {
    give(run, hand, lease);
  }
}

function give(run: RunScope, hand: Hand, lease: Omit<GivenLease, "leaseId">): void {
  const id = leaseId(run.runId, lease.number, lease);
  hand.numbers.set(lease.number, id);
  hand.given.push({ ...lease, leaseId: id });
}

async function removeSuperseded<P>(client: Client, run: LockedRun, hands: Map<P, Hand>): Promise<P[]> {
  const workerIds = [...hands.values()].map((hand) => hand.workerId);
  const streams = await findStreams(client, run, [...new Set(workerIds)]);
  const superseded = [...hands].flatMap(([player, hand]) =>
    streams.get(hand.workerId) === hand.streamNumber ? [] : [player],
  );
  for (const player of superseded) hands.delete(player);
  return superseded;
}

async function takeResults<P>(
  client: Client,
  run: LockedRun,
  isOpen: boolean,
  plays: ReadonlyMap<P, Play | undefined>,
  hands: ReadonlyMap<P, Hand>,
): Promise<{ readonly run: LockedRun; readonly isNews: boolean }> {
  const senders = [...hands].flatMap(([player, hand]) => {
    const play = plays.get(player);
    return play?.kind === "results" ? [{ hand, results: play.results }] : [];
  });
  if (senders.length === 0) return { run, isNews: false };
  const sent = senders.flatMap(({ hand, results }) =>
    results.map((result) => ({ ...result, workerId: hand.workerId })),
  );
  const taken = isOpen
    ? await takeWork(client, run, sent)
    : { run, outcomes: await dropWork(client, run, sent) };
  let at = 0;
  for (const { hand, results } of senders) {
    const acks = results.map((result) => {
      if (!hand.numbers.delete(result.leaseNumber)) {
        hand.lost = hand.lost.filter((id) => id !== result.leaseId);
      }
      return { leaseId: result.leaseId, outcome: taken.outcomes[at++] ?? "dropped" };
    });
    hand.answer = { kind: "acks", acks };
  }
  return { run: taken.run, isNews: taken.outcomes.includes("recorded") };
}

async function renew(
  client: Client,
  run: LockedRun,
  hand: Hand,
  capacity: number | undefined,
): Promise<void> {
  hand.capacity = capacity ?? hand.capacity;
  const deadline = run.time + hand.leaseMicros;
  const lasting = new Set(
    (await renewLeases(client, run, hand.workerId, deadline)).map((lease) => lease.number),
  );
  for (const number of [...hand.numbers.keys()]) if (!lasting.has(number)) lose(hand, number);
  hand.answer = { kind: "renewal", deadline, lostLeaseIds: hand.lost };
  hand.lost = [];
}

async function release(
  client: Client,
  run: LockedRun,
  hand: Hand,
  numbers: readonly bigint[],
): Promise<number> {
  if (numbers.length === 0) hand.numbers.clear();
  for (const number of numbers) hand.numbers.delete(number);
  return releaseLeases(client, run, hand.workerId, numbers);
}

/** How the run stands for those who have room left. */
interface Table {
  readonly more: boolean;
  readonly firstDeadline: bigint | undefined;
  /** All leases there are; undefined as long as there is something to deal, and if nobody has room. */
  readonly leases: readonly LeaseCount[] | undefined;
  /** The fewest attempts that a waiting cell has had. */
  readonly waiting: number;
}

const untouched: Table = {
  more: false,
  firstDeadline: undefined,
  leases: undefined,
  waiting: Number.POSITIVE_INFINITY,
};

async function deal(client: Client, run: LockedRun, hands: readonly Hand[]): Promise<Table> {
  const { dealt } = run;
  if (dealt === undefined) return untouched;
  for (const hand of hands) {
    hand.held = hand.numbers.size;
    hand.free = hand.isSilent ? 0 : Math.max(hand.capacity - hand.held, 0);
  }
  const { leases, more, isGridEmpty } = await dealCells(client, { ...run, dealt }, hands);
  for (const [hand, dealtLeases] of leases) for (const lease of dealtLeases) give(run, hand, lease);
  const unsatisfied = hands.filter((hand) => hand.free > 0 || hand.numbers.size === 0);
  if (more || !isGridEmpty || unsatisfied.length === 0) return { ...untouched, more };
  const counts = await countLeases(client, run);
  const fewestAttempts = await findFewestAttempts(client, run);
  const deadlines = counts.map((one): Instant => one.firstDeadline - run.time);
  return {
    more,
    firstDeadline: deadlines.reduce<bigint | undefined>(
      (first, one) => (first === undefined || one < first ? one : first),
      undefined,
    ),
    leases: counts,
    waiting: fewestAttempts ?? Number.POSITIVE_INFINITY,
  };
}

function standingOf(hand: Hand, isOpen: boolean, table: Table): Standing {
  const { capacity, streamNumber, numbers, lost, isSilent, answer, given } = hand;
  return {
    capacity,
    streamNumber,
    held: numbers,
    lost,
    isSilent,
    answer,
    leases: given,
    nothing: isOpen ? nothingFor(hand, table) : "ever",
  };
}

/**
 * Whether there is nothing to do for a worker that holds no lease. There may be later if somebody has, or had, a cell that it may
 * still get; every other cell has a success or has had its attempts.
 */
function nothingFor(
  { workerId, maxAttempts, numbers, isSilent }: Hand,
  { leases, waiting }: Table,
): Standing["nothing"] {
  if (leases === undefined || numbers.size > 0 || isSilent) return undefined;
  if (waiting >= maxAttempts && leases.every((lease) => lease.attempts >= maxAttempts)) return "ever";
  const others = leases.filter((lease) => lease.workerId !== workerId);
  return { leasedCellCount: others.reduce((sum, lease) => sum + lease.count, 0) };
}

/** The failure of a stream whose worker has a newer one. */
export function streamSuperseded(workerId: string) {
  return failure("STREAM_SUPERSEDED", { worker_id: workerId });
}
