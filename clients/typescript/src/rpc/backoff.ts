import { ItembankError } from "./error.ts";
import { sleep } from "./sleep.ts";

/** How often and how fast the client repeats what failed and may be repeated. */
export interface RetrySettings {
  /** How often a unary call is tried in all. 5 unless set; 1 switches repeating off. */
  readonly callAttempts: number;
  /** How often a stream is resumed without getting any further. 12 unless set, which is most of a minute. */
  readonly resumeAttempts: number;
  /** The first pause, in milliseconds. 100 unless set; every further one is twice as long. */
  readonly initialDelayMs: number;
  /** The longest pause, in milliseconds, unless the server asks for a longer one. 10,000 unless set. */
  readonly maxDelayMs: number;
}

export const defaultRetry: RetrySettings = {
  callAttempts: 5,
  resumeAttempts: 12,
  initialDelayMs: 100,
  maxDelayMs: 10_000,
};

/** The pauses between the attempts at one thing. */
export class Backoff {
  readonly #settings: Pick<RetrySettings, "initialDelayMs" | "maxDelayMs">;
  readonly #attempts: number;
  #failed = 0;

  constructor(settings: Pick<RetrySettings, "initialDelayMs" | "maxDelayMs">, attempts: number) {
    this.#settings = settings;
    this.#attempts = attempts;
  }

  /** How often the thing has failed since it last succeeded. */
  get failed(): number {
    return this.#failed;
  }

  /** The thing got further: what fails next is a first failure again. */
  succeeded(): void {
    this.#failed = 0;
  }

  /**
   * Waits before the next attempt, at least as long as the server asks for.
   *
   * @throws the error itself if it is not worth another attempt or there have been enough; the reason of the signal
   */
  async wait(
    error: unknown,
    signal?: AbortSignal,
    worthwhile = error instanceof ItembankError && error.retryable,
  ): Promise<void> {
    this.#failed++;
    if (!worthwhile || this.#failed >= this.#attempts) throw error;
    const asked = error instanceof ItembankError ? (error.retryDelayMs ?? 0) : 0;
    await sleep(Math.max(jittered(this.#settings, this.#failed), asked), signal);
  }
}

/**
 * The pause after so many failures, in milliseconds: doubling, and between half and all of that at random, so that clients
 * that failed together do not come back together.
 */
export function jittered(
  { initialDelayMs, maxDelayMs }: Pick<RetrySettings, "initialDelayMs" | "maxDelayMs">,
  failures: number,
): number {
  return Math.min(maxDelayMs, initialDelayMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}
