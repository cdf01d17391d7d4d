import type { KeyedMutex } from "../db/keyed-mutex.ts";
import type { Notifications, Subscription } from "../db/notifications.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { Failure } from "../failure.ts";
import { hasEnded, type RunScope } from "../runs/run.ts";
import { findRunState } from "../runs/run-store.ts";
import { AssignmentLoader } from "./assignment-loader.ts";
import {
  type Play,
  type Player,
  playRound,
  type Round,
  type Standing,
  streamSuperseded,
} from "./process-tick.ts";

/** What desks work with. */
export interface DeskResources {
  readonly pool: Pool;
  readonly mutex: KeyedMutex;
  /** Hears of every run that has changed, by its id. */
  readonly changes: Notifications;
  readonly heartbeatSeconds: number;
}

/** The stream of a worker at the desk of its run. */
export interface Seat extends Player {
  /** When it was last given leases, in milliseconds of `performance.now()`. */
  readonly givenAt: number;
  /** Takes over what became of it in a round. */
  settle(standing: Standing): void;
  /** Hears that a lease has come to its deadline. */
  lose(leaseNumber: bigint): void;
  /** Hears that the run has ended. */
  finish(): void;
  fail(error: unknown): void;
}

/** Results that are taken in one round at most, unless one frame has more. */
const maxResults = 1_000;

/** Characters of outputs, likewise: memory holds them twice while they are written. */
const maxOutputLength = 8 * 1024 * 1024;

/** The longest time that a timer can be set to, in milliseconds. */
const longestTimer = 2 ** 31 - 1;

/** The desks of this process, one for each run that somebody here works on. */
export class WorkDesks {
  readonly #resources: DeskResources;
  readonly #desks = new Map<string, WorkDesk>();

  constructor(resources: DeskResources) {
    this.#resources = resources;
  }

  /** The desk of a run. */
  at(scope: RunScope): WorkDesk {
    const known = this.#desks.get(scope.runId);
    if (known !== undefined) return known;
    const desk: WorkDesk = new WorkDesk(this.#resources, scope, () => {
      if (this.#desks.get(scope.runId) === desk) this.#desks.delete(scope.runId);
    });
    this.#desks.set(scope.runId, desk);
    return desk;
  }
}

interface PendingPlay {
  readonly play: Play;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Where the workers of one run at this process come together: what they send while a round is played is taken in the next,
 * together, and cells are dealt to all that have room. So the lock on the run is taken once for many of them, and those who
 * wait are woken by what happens and by the first deadline, not each by a clock of its own.
 */
export class WorkDesk {
  /** Loads what its workers are given. */
  readonly assignments: AssignmentLoader;
  readonly #resources: DeskResources;
  readonly #scope: RunScope;
  readonly #onEmpty: () => void;
  readonly #seats = new Set<Seat>();
  readonly #pending = new Map<Seat, PendingPlay>();
  #isRunning = false;
  #isWoken = false;
  #wake: (() => void) | undefined;
  /** When to look at the run although nothing has happened: at the first deadline, or in case that a change went unheard. */
  #lookAt = 0;

  constructor(resources: DeskResources, scope: RunScope, onEmpty: () => void) {
    this.#resources = resources;
    this.#scope = scope;
    this.#onEmpty = onEmpty;
    this.assignments = new AssignmentLoader(resources.pool, scope);
  }

  /**
   * Takes what a worker sends, which seats it; returns when its seat was settled.
   *
   * @throws Failure STREAM_SUPERSEDED, RUN_NOT_FOUND, LIMIT_EXCEEDED
   */
  play(seat: Seat, play: Play): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#seats.add(seat);
      this.#pending.set(seat, { play, resolve, reject });
      if (!this.#isRunning) void this.#run();
      this.#wake?.();
    });
  }

  /** Forgets a worker whose stream is over. */
  leave(seat: Seat): void {
    this.#seats.delete(seat);
    this.#pending.delete(seat);
    this.#wake?.();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    const over = new AbortController();
    using news = this.#resources.changes.subscribe(this.#scope.runId, over.signal);
    void this.#listen(news, over.signal);
    while (this.#seats.size > 0) {
      const plays = this.#takePlays();
      const waiting = [...this.#seats].filter((seat) => !plays.has(seat) && isWaiting(seat));
      if (plays.size > 0 || (this.#isWoken && waiting.length > 0)) {
        this.#isWoken = false;
        this.#lookIn(this.#resources.heartbeatSeconds * 1000);
        await this.#playRound(inTurn([...plays, ...waiting.map((seat) => [seat, undefined] as const)]), news);
      } else if (this.#isWoken) {
        this.#isWoken = false;
        await this.#look(news);
      } else {
        await this.#nap();
      }
    }
    over.abort();
    this.#isRunning = false;
    this.#onEmpty();
  }

  async #listen(news: Subscription, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await news.wait(longestTimer);
      this.#isWoken = true;
      this.#wake?.();
    }
  }

  #lookIn(milliseconds: number): void {
    this.#lookAt = performance.now() + milliseconds;
  }

  async #nap(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => {
        this.#isWoken = true;
        this.#lookIn(this.#resources.heartbeatSeconds * 1000);
        resolve();
      },
      Math.max(this.#lookAt - performance.now(), 0),
    );
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }

  #takePlays(): Map<Seat, Play> {
    const plays = new Map<Seat, Play>();
    let [results, length] = [0, 0];
    for (const [seat, { play }] of this.#pending) {
      if (play.kind === "results") {
        const isFirst = results === 0;
        results += play.results.length;
        length += play.results.reduce((sum, { result }) => sum + (result.output?.length ?? 0), 0);
        if (!isFirst && (results > maxResults || length > maxOutputLength)) break;
      }
      plays.set(seat, play);
    }
    return plays;
  }

  async #playRound(plays: ReadonlyMap<Seat, Play | undefined>, news: Subscription): Promise<void> {
    const { pool, mutex } = this.#resources;
    // What is dealt need not survive a crash of the database: it is dealt again then.
    const durable = [...plays.values()].some((play) => play?.kind === "results" || play?.kind === "join");
    let round: Round<Seat>;
    try {
      round = await mutex.runExclusive(this.#scope.runId, () =>
        transaction(pool, (client) => playRound(client, this.#scope, plays), { durable }),
      );
    } catch (error) {
      await this.#onFailure(error, plays, news);
      return;
    }
    this.#settle(round, plays, news);
  }

  #settle(round: Round<Seat>, plays: ReadonlyMap<Seat, Play | undefined>, news: Subscription): void {
    const { changes } = this.#resources;
    for (const seat of round.superseded) this.#fail(seat, streamSuperseded(seat.terms.workerId));
    for (const { workerId, number } of round.expired) {
      for (const seat of this.#seats) {
        // Those who took part have heard of it there.
        if (seat.terms.workerId === workerId && !plays.has(seat)) seat.lose(number);
      }
    }
    for (const [seat, standing] of round.standings) {
      seat.settle(standing);
      const play = plays.get(seat);
      if (play === undefined) continue;
      if (play.kind === "join") changes.notify(streamKey(this.#scope.runId, seat.terms.workerId));
      const pending = this.#pending.get(seat);
      this.#pending.delete(seat);
      pending?.resolve();
    }
    if (round.hasEnded) for (const seat of this.#seats) seat.finish();
    if (round.isNews) changes.notify(this.#scope.runId, news);
    if (round.more) this.#isWoken = true;
    if (round.firstDeadline !== undefined) {
      // A millisecond more than to the deadline, since timers fire early.
      const milliseconds = Math.max(Number(round.firstDeadline) / 1000, 0) + 1;
      this.#lookAt = Math.min(this.#lookAt, performance.now() + milliseconds);
    }
  }

  /** If something is wrong with what one worker has sent, the others must not suffer: each is played alone then. */
  async #onFailure(
    error: unknown,
    plays: ReadonlyMap<Seat, Play | undefined>,
    news: Subscription,
  ): Promise<void> {
    if (error instanceof Failure && error.reason === "RUN_NOT_FOUND") {
      for (const seat of this.#seats) this.#fail(seat, error);
    } else if (error instanceof Failure && plays.size > 1) {
      for (const [seat, play] of plays) if (play) await this.#playRound(new Map([[seat, play]]), news);
    } else {
      for (const seat of plays.keys()) this.#fail(seat, error);
    }
  }

  /** Looks after the run when nobody has room: those who work have to hear when it is over. */
  async #look(news: Subscription): Promise<void> {
    try {
      const state = await findRunState(this.#resources.pool, this.#scope);
      if (state !== undefined && !hasEnded(state)) return;
      const [seat] = this.#seats;
      if (seat !== undefined) await this.#playRound(new Map([[seat, undefined]]), news);
    } catch {
      // The database is away. Whoever sends something next hears of it; until then nobody needs to.
    }
  }

  #fail(seat: Seat, error: unknown): void {
    const pending = this.#pending.get(seat);
    this.leave(seat);
    seat.fail(error);
    pending?.reject(error);
  }
}

/** The key under which a worker's streams hear that there is a newer one. */
export function streamKey(runId: string, workerId: string): string {
  // Keys have no spaces, and names may have.
  return `${runId}/${encodeURIComponent(workerId)}`;
}

/** Whether a worker is to take part in a round although it has sent nothing: it has room, or waits for the end. */
function isWaiting({ capacity, streamNumber, held, isSilent }: Seat): boolean {
  if (streamNumber === 0n || isSilent) return false;
  return capacity > held.size || (capacity === 0 && held.size === 0);
}

/** Workers in the order in which they were given something last, so that those who waited longest come first. */
function inTurn(plays: readonly (readonly [Seat, Play | undefined])[]): ReadonlyMap<Seat, Play | undefined> {
  return new Map([...plays].sort(([one], [other]) => one.givenAt - other.givenAt));
}
