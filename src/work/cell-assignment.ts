/** A worker that cells may be assigned to. */
export interface Assignee {
  readonly workerId: string;
  readonly maxAttempts: number;
  /** The number of leases it holds. */
  held: number;
  /** The number of further leases it may hold. */
  free: number;
}

/** The facts about a cell that decide which worker gets it. */
export interface AssignableCell {
  /** The number of results it has had. */
  readonly attempts: number;
  /** The worker that had it last; empty if none has had it. */
  readonly workerId: string;
}

/** Whether a worker may get back a cell that it had last: never, or only if no other worker can take it. */
export type ReturnPolicy = "never" | "as a last resort";

/** A cell and the worker that gets it. */
export interface CellAssignment<C extends AssignableCell, A extends Assignee> {
  readonly cell: C;
  readonly assignee: A;
}

/**
 * Assigns cells, in their order, each to the eligible worker that holds the fewest leases: when cells are scarce, all workers
 * hold about the same number, regardless of their capacity. Ties are broken by the order of the workers. Updates `held` and
 * `free` of the assignees. Returns cells without an eligible worker as `left`.
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
