import { Changes } from "../rpc/changes.ts";
import type { PreparedRow } from "./item-row.ts";
import type { RowIterator } from "./row-source.ts";

/** What a window may hold. */
export interface WindowBounds {
  readonly rows: number;
  /** Of payloads, as encoded. */
  readonly bytes: number;
}

/** Rows that are read before others get a turn. Short enough to answer the server in time, long enough to cost nothing. */
const rowsPerTurn = 500;

/** How long a row may wait for others to be sent with it. */
const waitMilliseconds = 10;

/**
 * The rows of a source that the server may still ask for: from the first that would not survive a crash to the last that
 * was read. The source is read once, and no further ahead than the bounds allow.
 */
export class RowWindow<Row> {
  /** Tells when rows came, or the end of them. */
  readonly changes = new Changes();
  readonly #source: RowIterator<Row>;
  readonly #prepare: (row: Row, index: number) => PreparedRow;
  readonly #bounds: WindowBounds;
  readonly #space = new Changes();
  #rows: PreparedRow[] = [];
  /** The number of the first row that is kept. */
  #start = 0;
  /** How many of `#rows` were let go of and are still in front. */
  #released = 0;
  #bytes = 0;
  #end = 0;
  #ended = false;
  #fault: { readonly error: unknown } | undefined;
  #reading: Promise<void> | undefined;
  #closed = false;

  constructor(
    source: RowIterator<Row>,
    prepare: (row: Row, index: number) => PreparedRow,
    bounds: WindowBounds,
  ) {
    this.#source = source;
    this.#prepare = prepare;
    this.#bounds = bounds;
  }

  /** How many rows were read. */
  get end(): number {
    return this.#end;
  }

  /** Whether those are all. */
  get isComplete(): boolean {
    return this.#ended;
  }

  /** @throws what the source threw, or what is wrong with a row */
  throwIfFailed(): void {
    if (this.#fault !== undefined) throw this.#fault.error;
  }

  /** Begins to read, on the first call. */
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

  /** A row that is kept. */
  row(number: number): PreparedRow {
    const row = this.#rows[number - this.#start + this.#released];
    if (row === undefined)
      throw new Error(`row ${number} is not kept: there are ${this.#start} to ${this.#end}`);
    return row;
  }

  /** Lets go of the rows in front of `number`, also of those that were not read yet: they are passed over. */
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
    // Taking rows off the front one by one would take time in proportion to the square of their number.
    if (this.#released > this.#rows.length / 2) {
      this.#rows = this.#rows.slice(this.#released);
      this.#released = 0;
    }
    this.#space.tell();
  }

  /** Reads no further. */
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
      if (done) return;
      const index = this.#end++;
      if (index < this.#start) continue;
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
    return this.#rows.length - this.#released >= this.#bounds.rows || this.#bytes >= this.#bounds.bytes;
  }
}
