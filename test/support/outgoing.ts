/** The requests of a stream: the messages pushed, until the end. */
export class Outgoing<T> implements AsyncIterable<T> {
  readonly #waiting: T[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  push(request: T): void {
    this.#waiting.push(request);
    this.#wake();
  }

  /** Ends the stream after the messages pushed so far. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const request = this.#waiting.shift();
      if (request !== undefined) yield request;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
