/** Where rows may come from. */
export type Rows<Row> = Iterable<Row> | AsyncIterable<Row> | ReadableStream<Row>;

/** Rows, one at a time. A promise is given only where the source has to be waited for. */
export interface RowIterator<Row> {
  next(): IteratorResult<Row> | Promise<IteratorResult<Row>>;
  /** Tells the source that no more rows are needed. Does not wait for it. */
  stop(): void;
}

/** Starts to read rows. */
export function openRows<Row>(rows: Rows<Row>): RowIterator<Row> {
  const iterator = iteratorOf(rows);
  return {
    next: () => iterator.next(),
    stop() {
      // A source that fails while it is given up has nothing more to say.
      void Promise.resolve(iterator.return?.()).catch(() => undefined);
    },
  };
}

function iteratorOf<Row>(rows: Rows<Row>): Iterator<Row> | AsyncIterator<Row> {
  if (Symbol.asyncIterator in rows) return rows[Symbol.asyncIterator]();
  if (Symbol.iterator in rows) return rows[Symbol.iterator]();
  // Not every browser iterates over streams.
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

/** How many rows there are, where that is known from the start. */
export function countRows(rows: Rows<unknown>): number | undefined {
  if (Array.isArray(rows)) return rows.length;
  return rows instanceof Set || rows instanceof Map ? rows.size : undefined;
}
