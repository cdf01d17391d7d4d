/** A source of rows. */
export type Rows<Row> = Iterable<Row> | AsyncIterable<Row> | ReadableStream<Row>;

/** Reads rows one at a time. Returns a promise only where it must wait for the source. */
export interface RowIterator<Row> {
  next(): IteratorResult<Row> | Promise<IteratorResult<Row>>;
  /** Closes the source. Does not wait for it. */
  stop(): void;
}

/** Starts reading rows. */
export function openRows<Row>(rows: Rows<Row>): RowIterator<Row> {
  const iterator = iteratorOf(rows);
  return {
    next: () => iterator.next(),
    stop() {
      // No more rows are needed, so an error of the source does not matter.
      void Promise.resolve(iterator.return?.()).catch(() => undefined);
    },
  };
}

function iteratorOf<Row>(rows: Rows<Row>): Iterator<Row> | AsyncIterator<Row> {
  if (Symbol.asyncIterator in rows) return rows[Symbol.asyncIterator]();
  if (Symbol.iterator in rows) return rows[Symbol.iterator]();
  // Not every browser can iterate over streams.
  const reader = (rows as ReadableStream<Row>).getReader();
  return {
    async next() {
      const { done, value } = await reader.read();
      return done ? { done, value: undefined } : { done, value };
    },
    async return() {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

/** Returns the number of rows, if known in advance. */
export function countRows(rows: Rows<unknown>): number | undefined {
  if (Array.isArray(rows)) return rows.length;
  return rows instanceof Set || rows instanceof Map ? rows.size : undefined;
}
