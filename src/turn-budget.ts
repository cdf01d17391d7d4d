import { setImmediate } from "node:timers/promises";

/**
 * Rows of a frame or file that are read, checked and hashed in one turn of the event loop. A frame takes milliseconds, in which no
 * other call moves, nor the database connection that waits for the next rows; a few hundred microseconds nobody notices. Fewer
 * rows spend a notable share of the time on turns.
 */
export const rowsPerTurn = 200;

/** Waits until all others that can go on have had a turn of the event loop. */
export function nextTurn(): Promise<void> {
  return setImmediate();
}

/**
 * Tells a loop when it is time to let others go on:
 *
 *     const turn = new TurnBudget(rowsPerTurn);
 *     for (const row of rows) {
 *       if (turn.spend()) await nextTurn();
 *       check(row);
 *     }
 */
export class TurnBudget {
  readonly #perTurn: number;
  #spent = 0;

  /** @param perTurn how much work is done in one turn, in whatever unit it is counted. The last piece may go beyond it. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
  }

  /** Counts work that is about to be done, and returns whether others should get a turn before it. */
  spend(work = 1): boolean {
    const isSpent = this.#spent >= this.#perTurn;
    this.#spent = isSpent ? work : this.#spent + work;
    return isSpent;
  }
}
