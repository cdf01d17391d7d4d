import type { Logger } from "../log.ts";

/**
 * How long a sweeper rests between two sweeps. What it removes harms nobody for a minute more; a shorter rest asks an idle
 * database more often for nothing.
 */
const defaultIntervalMilliseconds = 60_000;

/** Removes or finishes what calls leave to the background. Any number of servers may sweep one database at a time. */
export interface Sweeper {
  /** What it looks for, in the log: `expired writes`. */
  readonly name: string;
  /** How long it rests between two sweeps. Unset: a minute. */
  readonly intervalMilliseconds?: number;
  /** Does all there is to do, or as much of it as it has come to when the signal fires, and counts it. */
  sweep(signal: AbortSignal): Promise<number>;
}

/** What the loop of a sweeper works with. */
export interface SweeperOptions {
  readonly log: Logger;
  /** Fires when the service begins to stop, which ends the loop. */
  readonly stopping: AbortSignal;
}

/**
 * The loop of one sweeper, which starts with the first call of `sweepSoon`. A sweep that fails is logged and does not end it:
 * the database or the storage may be away for a while, and the next sweep finds the same.
 */
export class PeriodicSweeper implements AsyncDisposable {
  readonly #sweeper: Sweeper;
  readonly #log: Logger;
  readonly #disposed = new AbortController();
  readonly #signal: AbortSignal;
  #isDue = false;
  #wake: (() => void) | undefined;
  #loop: Promise<void> | undefined;

  constructor(sweeper: Sweeper, { log, stopping }: SweeperOptions) {
    this.#sweeper = sweeper;
    this.#log = log;
    this.#signal = AbortSignal.any([stopping, this.#disposed.signal]);
    this.#signal.addEventListener("abort", () => this.#wake?.());
  }

  /** Sweeps at once and then regularly. Any number of calls during a sweep have one more follow it. */
  sweepSoon(): void {
    this.#isDue = true;
    this.#wake?.();
    this.#loop ??= this.#run();
  }

  /** Ends the loop and waits for the sweep that is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { intervalMilliseconds = defaultIntervalMilliseconds } = this.#sweeper;
    while (!this.#signal.aborted) {
      this.#isDue = false;
      await this.#sweep();
      if (!this.#isDue) await this.#rest(intervalMilliseconds);
    }
  }

  async #sweep(): Promise<void> {
    const { name } = this.#sweeper;
    try {
      const count = await this.#sweeper.sweep(this.#signal);
      if (count > 0) this.#log.info({ sweeper: name, count }, "swept");
    } catch (error) {
      // What fails because the service stops is left to the next start.
      if (!this.#signal.aborted) this.#log.warn({ sweeper: name, err: error }, "a sweep failed");
    }
  }

  /** Waits for the interval, the next call of `sweepSoon` or the end. */
  async #rest(milliseconds: number): Promise<void> {
    if (this.#signal.aborted) return;
    await new Promise<void>((resolve) => {
      // A process that has nothing else to do does not wait for the next sweep.
      const timer = setTimeout(resolve, milliseconds).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
