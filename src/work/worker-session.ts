import type { Notifications } from "../db/notifications.ts";
import type { Pool } from "../db/pool.ts";
import type { RunScope } from "../runs/run.ts";
import { getRun } from "../runs/run-store.ts";
import type { Assignment } from "./assignment-loader.ts";
import { type Standing, streamSuperseded } from "./process-tick.ts";
import type { GivenLease, WorkAnswer, WorkerTerms, WorkFrame, WorkNews } from "./work.ts";
import { type Seat, streamKey, type WorkDesk } from "./work-dispatcher.ts";
import { findStreams } from "./worker-store.ts";

/** What a worker is sent. */
export type WorkOutput =
  | WorkAnswer
  | WorkNews
  | { readonly kind: "assignments"; readonly assignments: readonly Assignment[] };

/** Answers that may wait for a worker that does not read. Its next frame is not taken before it has read one of them. */
const maxAnswers = 4;

/** The longest time that a timer can be set to, in milliseconds. */
const longestTimer = 2 ** 31 - 1;

/** Where a worker works, and what its session works with. */
export interface WorkPlace {
  readonly projectId: string;
  readonly scope: RunScope;
  readonly pool: Pool;
  readonly changes: Notifications;
  readonly desk: WorkDesk;
}

/**
 * Serves one stream of a worker, from behind its hello to its end: takes its frames one by one, and gives what it is to be sent.
 * Items are loaded when the worker is ready for them, a frame at a time.
 *
 * @param frames What the worker sends. It throws when the service stops or the call is over.
 * @throws Failure RUN_NOT_FOUND, STREAM_SUPERSEDED, LIMIT_EXCEEDED, and whatever `frames` throws, behind the answers to
 * the frames in front of it.
 */
export async function* serveWorker(
  place: WorkPlace,
  terms: WorkerTerms,
  frames: AsyncIterable<WorkFrame>,
): AsyncGenerator<WorkOutput> {
  const session = new WorkSession(place, terms);
  const input = frames[Symbol.asyncIterator]();
  try {
    void session.takeFrames(input);
    yield* session.outputs();
  } finally {
    session.close();
    // The stream may be stuck in a read: nobody waits for it to notice.
    input.return?.().catch(() => undefined);
  }
}

class WorkSession implements Seat {
  readonly terms: WorkerTerms;
  readonly #place: WorkPlace;
  readonly #over = new AbortController();
  capacity: number;
  streamNumber = 0n;
  held: ReadonlyMap<bigint, string> = new Map();
  lost: readonly string[] = [];
  isSilent = false;
  givenAt = 0;
  /** What is to be sent, by kind, in the order in which it is. */
  readonly #answers: WorkAnswer[] = [];
  #leases: GivenLease[] = [];
  #idle: { readonly leasedCellCount: number } | undefined;
  #wasIdle = false;
  #isFinished = false;
  #inputEnded = false;
  #failure: { readonly thrown: unknown } | undefined;
  #onChange: (() => void) | undefined;
  #onRead: (() => void) | undefined;

  constructor(place: WorkPlace, terms: WorkerTerms) {
    this.#place = place;
    this.terms = terms;
    this.capacity = terms.capacity;
  }

  /** Joins the run, then plays frame by frame. Never throws. */
  async takeFrames(input: AsyncIterator<WorkFrame>): Promise<void> {
    const { desk } = this.#place;
    try {
      void this.#watchForNewerStream();
      await desk.play(this, { kind: "join" });
      for (;;) {
        const { done, value } = await input.next();
        if (done || this.#over.signal.aborted) break;
        await desk.play(this, value);
        while (this.#answers.length >= maxAnswers) {
          await new Promise<void>((resolve) => {
            this.#onRead = resolve;
          });
        }
      }
    } catch (error) {
      this.fail(error);
    }
    this.#inputEnded = true;
    this.#onChange?.();
  }

  /** What the worker is sent, until there is nothing left to do or its input ends. */
  async *outputs(): AsyncGenerator<WorkOutput> {
    const { pool, projectId, scope, desk } = this.#place;
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) {
        yield answer;
        this.#onRead?.();
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure.thrown;
      if (this.#isFinished) {
        yield { kind: "finished", run: await getRun(pool, projectId, scope.runId) };
        return;
      }
      if (this.#inputEnded) return;
      // What has ended since was given for nothing.
      this.#leases = this.#leases.filter((lease) => this.held.has(lease.number));
      if (this.#leases.length > 0) {
        const assignments = await desk.assignments.load(this.#leases);
        this.#leases = this.#leases.slice(assignments.length);
        yield { kind: "assignments", assignments };
      } else if (this.#idle !== undefined) {
        const { leasedCellCount } = this.#idle;
        this.#idle = undefined;
        yield { kind: "idle", leasedCellCount };
      } else {
        await new Promise<void>((resolve) => {
          this.#onChange = resolve;
        });
      }
    }
  }

  close(): void {
    this.#over.abort();
    this.#onRead?.();
    this.#place.desk.leave(this);
  }

  settle({ capacity, streamNumber, held, lost, isSilent, answer, leases, nothing }: Standing): void {
    this.capacity = capacity;
    this.streamNumber = streamNumber;
    this.held = held;
    this.lost = lost;
    this.isSilent = isSilent;
    if (answer !== undefined) this.#answers.push(answer);
    if (leases.length > 0) {
      this.#leases.push(...leases);
      this.givenAt = performance.now();
      this.#idle = undefined;
      this.#wasIdle = false;
    }
    if (nothing === "ever") {
      this.finish();
    } else if (nothing !== undefined && !this.#wasIdle && capacity > 0) {
      this.#idle = nothing;
      this.#wasIdle = true;
    }
    this.#onChange?.();
  }

  lose(number: bigint): void {
    const id = this.held.get(number);
    if (id === undefined) return;
    this.held = new Map([...this.held].filter(([one]) => one !== number));
    this.lost = [...this.lost, id];
    this.isSilent = true;
  }

  finish(): void {
    this.#isFinished = true;
    this.#onChange?.();
  }

  fail(error: unknown): void {
    this.#failure ??= { thrown: error };
    this.#onChange?.();
    this.#onRead?.();
  }

  /** Fails as soon as the worker has a newer stream, at whatever server. */
  async #watchForNewerStream(): Promise<void> {
    const { scope, pool, changes } = this.#place;
    const { workerId } = this.terms;
    const { signal } = this.#over;
    using joined = changes.subscribe(streamKey(scope.runId, workerId), signal);
    while (!signal.aborted) {
      await joined.wait(longestTimer);
      if (signal.aborted || this.streamNumber === 0n) continue;
      try {
        const newest = (await findStreams(pool, scope, [workerId])).get(workerId);
        if (newest !== undefined && newest > this.streamNumber) {
          this.fail(streamSuperseded(workerId));
          this.#place.desk.leave(this);
        }
      } catch {
        // The database is away. The stream hears of the newer one when it sends something.
      }
    }
  }
}
