/** A worker that cells may be assigned to. */
export interface Assignee {
  readonly workerId: string;
  readonly maxAttempts: number;
  /** How many leases it holds. */
  held: number;
  /** How many more it may hold. */
  free: number;
}

/** A cell to assign, as far as it matters who gets it. */
export interface AssignableCell {
  /** Results it has had. */
  readonly attempts: number;
  /** The worker that had it last; empty if none had. */
  readonly workerId: string;
}

/** Whether a worker may get back a cell that it had last: never, or if no other can have it. */
export type ReturnPolicy = "never" | "as a last resort";

/** A cell and who gets it. */
export interface CellAssignment<C extends AssignableCell, A extends Assignee> {
  readonly cell: C;
  readonly assignee: A;
}

/**
 * Assigns cells, in their order, each to the worker that holds the fewest among those that may have it: so all hold about
 * the same if there are not enough for all, whatever they have room for. Workers that hold equally many come in their order.
 * Counts what is assigned in the assignees. A cell that nobody may have is left.
 */
export function assignCells<C extends AssignableCell, A extends Assignee>(
  cells: readonly C[],
  assignees: readonly A[],
  mayReturn: ReturnPolicy,
): { readonly assigned: CellAssignment<C, A>[]; readonly left: C[] } {
  const assigned: CellAssignment<C, A>[] = [];
  const left: C[] = [];
  for (const cell of cells) {
    let chosen: A | undefined;
    let last: A | undefined;
    for (const assignee of assignees) {
      if (assignee.free <= 0 || cell.attempts >= assignee.maxAttempts) continue;
      if (assignee.workerId === cell.workerId) last = assignee;
      else if (chosen === undefined || assignee.held < chosen.held) chosen = assignee;
    }
    if (mayReturn === "as a last resort") chosen ??= last;
    if (chosen === undefined) {
      left.push(cell);
    } else {
      chosen.held++;
      chosen.free--;
      assigned.push({ cell, assignee: chosen });
    }
  }
  return { assigned, left };
}
