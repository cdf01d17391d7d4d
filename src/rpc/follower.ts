import type { Notifications, Subscription } from "../db/notifications.ts";
import { failure } from "../failure.ts";

/** The source of a stream that follows changes, and its limits. */
export interface Following {
  readonly notifications: Notifications;
  readonly key: string;
  /** The maximum silence of the stream. */
  readonly heartbeatSeconds: number;
  /** Fires when the service begins to stop. */
  readonly stopping: AbortSignal;
  /** Fires when the call ends. */
  readonly signal: AbortSignal;
}

/**
 * Wakes a stream when its source has changed and when a heartbeat is due. Create it before the first read, so that no
 * change is missed in between, and dispose of it when the stream ends.
 */
export class Follower implements Disposable {
  readonly #subscription: Subscription;
  readonly #heartbeat: number;
  readonly #stopping: AbortSignal;
  readonly #signal: AbortSignal;
  #spokeAt = performance.now();

  constructor({ notifications, key, heartbeatSeconds, stopping, signal }: Following) {
    this.#subscription = notifications.subscribe(key, AbortSignal.any([signal, stopping]));
    this.#heartbeat = heartbeatSeconds * 1000;
    this.#stopping = stopping;
    this.#signal = signal;
  }

  /** A frame was sent: the next heartbeat is due when no other follows within the interval. */
  spoke(): void {
    this.#spokeAt = performance.now();
  }

  /**
   * Waits for a change, but only until the next heartbeat is due, and returns whether it is. There may be no change, so
   * read before drawing conclusions; and read before a heartbeat, too, in case a notification was lost.
   *
   * @throws Failure SHUTTING_DOWN; the reason of the signal
   */
  async wait(): Promise<{ readonly heartbeatIsDue: boolean }> {
    await this.#subscription.wait(this.#spokeAt + this.#heartbeat - performance.now());
    if (this.#stopping.aborted) throw failure("SHUTTING_DOWN", {});
    this.#signal.throwIfAborted();
    return { heartbeatIsDue: performance.now() - this.#spokeAt >= this.#heartbeat };
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
