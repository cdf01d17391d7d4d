/** Lets one part of a procedure wait until another part says that something has changed. */
export class Changes {
  #told: PromiseWithResolvers<void> = Promise.withResolvers();

  /** Wakes everybody who waits. */
  tell(): void {
    this.#told.resolve();
    this.#told = Promise.withResolvers();
  }

  /** Resolves the next time that something changes. */
  next(): Promise<void> {
    return this.#told.promise;
  }
}
