import { Changes } from "../rpc/changes.ts";
import type { PreparedRow } from "./item-row.ts";
import type { RowIterator } from "./row-source.ts";

/** The capacity of a window. */
export interface WindowCapacity {
  readonly rows: number;
  /** Bytes of encoded rows. */
  readonly bytes: number;
}

/** Rows to read before yielding to the event loop: few enough to answer the server in time, many enough to cost nothing. */
const rowsPerTurn = 500;

/** How long a row may wait for others to join its frame. */
const waitMilliseconds = 10;

/**
 * The rows of a source that the server may still ask for: from the first that is not durable to the last that was read. The
 * source is read once, and no further ahead than the capacity allows.
 */
export class RowWindow<Row> {
  /** Signals new rows, or the end of the source. */
  readonly changes = new Changes();
  readonly #source: RowIterator<Row>;
  readonly #prepare: (row: Row, index: number) => PreparedRow;
  readonly #capacity: WindowCapacity;
  readonly #onEnd: () => void;
  readonly #space = new Changes();
  #rows: PreparedRow[] = [];
  /** The number of the first row that is kept. */
  #start = 0;
  /** The number of rows at the front of `#rows` that are released already. */
  #released = 0;
  #bytes = 0;
  #end = 0;
  #ended = false;
  #skipped = false;
  #fault: { readonly error: unknown } | undefined;
  #reading: Promise<void> | undefined;
  #closed = false;

  /** @param onEnd called after the last row, unless rows were skipped; throwing is an error of the source */
  constructor(
    source: RowIterator<Row>,
    prepare: (row: Row, index: number) => PreparedRow,
    capacity: WindowCapacity,
    onEnd: () => void = () => undefined,
  ) {
    this.#source = source;
    this.#prepare = prepare;
    this.#capacity = capacity;
    this.#onEnd = onEnd;
  }

  /** The number of rows read. */
  get end(): number {
    return this.#end;
  }

  /** Whether all rows were read. */
  get isComplete(): boolean {
    return this.#ended;
  }

  /** @throws the error of the source, or of a row */
  throwIfFailed(): void {
    if (this.#fault !== undefined) throw this.#fault.error;
  }

  /** Starts reading, on the first call. */
  fill(): void {
    this.#reading ??= this.#read().then(
      () => {
        this.#ended = true;
        this.changes.tell();
      },
      (error: unknown) => {
        this.#fault = { error };
        this.changes.tell();
      },
    );
  }

  /** Returns a row that is kept. */
  row(number: number): PreparedRow {
    const row = this.#rows[number - this.#start + this.#released];
    if (row === undefined)
      throw new Error(`row ${number} is not kept: there are ${this.#start} to ${this.#end}`);
    return row;
  }

  /** Releases the rows before `number`. Rows that are not read yet are skipped when they are. */
  release(number: number): void {
    for (; this.#start < number; this.#start++) {
      const row = this.#rows[this.#released];
      if (row === undefined) {
        this.#start = number;
        break;
      }
      this.#bytes -= row.bytes;
      this.#released++;
    }
    // Removing rows from the front one by one would take quadratic time.
    if (this.#released > this.#rows.length / 2) {
      this.#rows = this.#rows.slice(this.#released);
      this.#released = 0;
    }
    this.#space.tell();
  }

  /** Stops reading. */
  close(): void {
    this.#closed = true;
    this.#space.tell();
    this.#source.stop();
  }

  async #read(): Promise<void> {
    let turn = 0;
    let isTelling = false;
    for (;;) {
      while (this.#isFull() && !this.#closed) {
        this.changes.tell();
        await this.#space.next();
      }
      if (this.#closed) return;
      const next = this.#source.next();
      const { done, value } = "then" in next ? await next : next;
      if (this.#closed) return;
      if (done) {
        if (!this.#skipped) this.#onEnd();
        return;
      }
      const index = this.#end++;
      if (index < this.#start) {
        this.#skipped = true;
        continue;
      }
      const row = this.#prepare(value, index);
      this.#rows.push(row);
      this.#bytes += row.bytes;
      if (!isTelling) {
        isTelling = true;
        setTimeout(() => {
          isTelling = false;
          this.changes.tell();
        }, waitMilliseconds);
      }
      if (++turn % rowsPerTurn === 0) {
        this.changes.tell();
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
  }

  #isFull(): boolean {
    return this.#rows.length - this.#released >= this.#capacity.rows || this.#bytes >= this.#capacity.bytes;
  }
}
