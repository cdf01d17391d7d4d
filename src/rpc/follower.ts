import type { Notifications, Subscription } from "../db/notifications.ts";
import { failure } from "../failure.ts";

/** What a stream follows, and until when. */
export interface Following {
  readonly notifications: Notifications;
  readonly key: string;
  /** How long the stream may be silent. */
  readonly heartbeatSeconds: number;
  /** Fires when the service begins to stop. */
  readonly stopping: AbortSignal;
  /** Fires when the call is over. */
  readonly signal: AbortSignal;
}

/**
 * Follows something for a stream: wakes it when the thing has changed and when a heartbeat is due. Make it before the first
 * look, so that nothing passes in between, and dispose of it when the stream ends.
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

  /** A frame went out: the next heartbeat is due when nothing has followed it for the interval. */
  spoke(): void {
    this.#spokeAt = performance.now();
  }

  /**
   * Waits for a change, but no longer than until the next heartbeat is due, and tells whether it is. There may be no change,
   * so look before you conclude; and look before a heartbeat, too, in case a change was not told.
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
