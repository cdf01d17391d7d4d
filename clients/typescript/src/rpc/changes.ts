/** A signal for one part of a procedure to wait until another part has changed something. */
export class Changes {
  #told: PromiseWithResolvers<void> = Promise.withResolvers();

  /** Wakes all waiters. */
  tell(): void {
    this.#told.resolve();
    this.#told = Promise.withResolvers();
  }

  /** Resolves at the next change. */
  next(): Promise<void> {
    return this.#told.promise;
  }
}
