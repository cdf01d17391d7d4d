/** A worker that cells are dealt to. */
export interface Hand {
  readonly workerId: string;
  readonly maxAttempts: number;
  /** How many leases it holds. */
  held: number;
  /** How many more it may hold. */
  free: number;
}

/** A cell to deal, as far as it matters who gets it. */
export interface SharedCell {
  /** Results it has had. */
  readonly attempts: number;
  /** The worker that had it last; empty if none had. */
  readonly workerId: string;
}

/** Whether a worker may get back a cell that it had last: never, or if no other can have it. */
export type Return = "never" | "as a last resort";

/**
 * Deals cells out, in their order, each to the worker that holds the fewest among those that may have it: so all hold about
 * the same if there are not enough for all, whatever they have room for. Workers that hold equally many come in their order.
 * Counts what is dealt in the hands. A cell that nobody may have is left.
 */
export function shareOut<C extends SharedCell, H extends Hand>(
  cells: readonly C[],
  hands: readonly H[],
  mayReturn: Return,
): { readonly dealt: { readonly cell: C; readonly hand: H }[]; readonly left: C[] } {
  const dealt: { readonly cell: C; readonly hand: H }[] = [];
  const left: C[] = [];
  for (const cell of cells) {
    let chosen: H | undefined;
    let last: H | undefined;
    for (const hand of hands) {
      if (hand.free <= 0 || cell.attempts >= hand.maxAttempts) continue;
      if (hand.workerId === cell.workerId) last = hand;
      else if (chosen === undefined || hand.held < chosen.held) chosen = hand;
    }
    if (mayReturn === "as a last resort") chosen ??= last;
    if (chosen === undefined) {
      left.push(cell);
    } else {
      chosen.held++;
      chosen.free--;
      dealt.push({ cell, hand: chosen });
    }
  }
  return { dealt, left };
}
