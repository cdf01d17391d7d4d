import { withIndexOrder } from "../db/planner.ts";
import type { Client } from "../db/pool.ts";
import { listPurged } from "../items/purge-store.ts";
import { findCurrentResults } from "../results/current-result-store.ts";
import { type CellChange, dropCells, followCells } from "../results/open-cell-store.ts";
import type { Dealt, LockedRun, RunCell } from "../runs/run.ts";
import { listCoveredItems } from "../runs/run-item-store.ts";
import { type Hand, shareOut } from "./cell-assignment.ts";
import type { Lease } from "./lease.ts";
import { listWaiting, type NewLease, putLeases, updateDealt, type WaitingCell } from "./lease-store.ts";

/** A worker that cells are dealt to, and for how long. */
export interface DealtHand extends Hand {
  readonly leaseMicros: bigint;
}

/** A locked run that workers have joined. */
type DealtRun = LockedRun & { readonly dealt: Dealt };

/** What was dealt. */
export interface Deal<H extends DealtHand> {
  /** Leases of each worker that got some. */
  readonly leases: ReadonlyMap<H, readonly Lease[]>;
  /** Whether dealing stopped at a bound, so that there may be more for those who have room left. */
  readonly more: boolean;
  /** Whether the whole grid has been dealt out, so that only cells that come back are left. */
  readonly isGridEmpty: boolean;
}

/** Cells that are dealt at once. More would keep others waiting for the lock on the run. */
const maxCells = 1_000;

/** How many times as many cells that are done may be passed over at once, for the same reason. */
const maxPages = 10;

/** Cells that are looked at together at least: most of those that are not done are dealt, so few are looked at twice. */
const minPage = 16;

/**
 * Deals cells of a locked run to workers that have room: first what workers have given back, which goes to others at once; then
 * the grid, in the order of repetition and item, so that all items are answered once before any is answered again; last what
 * was lost or has failed, so that neither a cell that kills its workers nor one that always fails is in the way of others.
 *
 * What it costs depends on how many cells are dealt and not on how many there are or were.
 */
export async function dealCells<H extends DealtHand>(
  client: Client,
  run: DealtRun,
  hands: readonly H[],
): Promise<Deal<H>> {
  const room = hands.reduce((sum, hand) => sum + hand.free, 0);
  if (room === 0) {
    return { leases: new Map(), more: false, isGridEmpty: run.dealt.repetition > run.repetitions };
  }
  // All that is read here is the beginning of something in the order of an index.
  return withIndexOrder(client, () => dealInOrder(client, run, hands, room));
}

async function dealInOrder<H extends DealtHand>(
  client: Client,
  run: DealtRun,
  hands: readonly H[],
  room: number,
): Promise<Deal<H>> {
  const maxAttempts = Math.max(...hands.map((hand) => hand.maxAttempts));
  let wanted = Math.min(room, maxCells);
  const dealt: { readonly cell: WaitingCell; readonly hand: H }[] = [];
  let dropped = 0;
  // Purged items take no results any more, so their cells are nobody's work.
  const dropPurged = async (cells: readonly WaitingCell[]) => {
    const purged = await findPurged(client, run, cells);
    const gone = cells.filter((cell) => purged.has(cell.itemId));
    await dropCells(client, run, gone);
    dropped += gone.length;
    return gone.length === 0 ? cells : cells.filter((cell) => !purged.has(cell.itemId));
  };
  const share = (cells: readonly WaitingCell[], mayReturn: "never" | "as a last resort") => {
    const shared = shareOut(cells, hands, mayReturn);
    dealt.push(...shared.dealt);
    wanted -= shared.dealt.length;
    return shared.left;
  };

  const released = await listWaiting(client, run, true, maxAttempts, wanted);
  const kept = share(await dropPurged(released), "never");
  const grid = await advance(client, run, wanted);
  share(grid.cells, "as a last resort");
  // Only when the grid has nothing left is the rest looked at.
  if (wanted > 0 && grid.isEmpty) {
    const waiting = await listWaiting(client, run, false, maxAttempts, wanted);
    share([...kept, ...(await dropPurged(waiting))], "as a last resort");
  }

  let { leaseNumber } = run.dealt;
  const leases = dealt.map(({ cell, hand }): NewLease => {
    leaseNumber++;
    const { itemId, repetition, attempts } = cell;
    const deadline = run.time + hand.leaseMicros;
    return {
      itemId,
      repetition,
      attempt: attempts + 1,
      number: leaseNumber,
      deadline,
      workerId: hand.workerId,
    };
  });
  await putLeases(client, run, leases);
  const position = { ...grid.position, leaseNumber };
  if (!equals(position, run.dealt)) await updateDealt(client, run, position);
  const ofHand = Map.groupBy(leases.keys(), (index) => dealt[index]?.hand as H);
  return {
    leases: new Map([...ofHand].map(([hand, indexes]) => [hand, indexes.map((at) => leases[at] as Lease)])),
    isGridEmpty: grid.isEmpty,
    more: wanted > 0 ? !grid.isEmpty || dropped > 0 : room > maxCells,
  };
}

interface Advance {
  /** Cells without a result, at most as many as were wanted. */
  readonly cells: readonly WaitingCell[];
  /** The last cell that was looked at. */
  readonly position: Pick<Dealt, "repetition" | "itemId">;
  /** Whether nothing is behind it. */
  readonly isEmpty: boolean;
}

/** Goes on through the grid until it has as many cells without a result as are wanted. Those that have failed wait from now on. */
async function advance(client: Client, run: DealtRun, wanted: number): Promise<Advance> {
  let { repetition, itemId } = run.dealt;
  const cells: WaitingCell[] = [];
  const failed: CellChange[] = [];
  for (let pages = 0; pages < maxPages && cells.length < wanted && repetition <= run.repetitions; pages++) {
    const size = Math.min(Math.max(wanted - cells.length, minPage) * 2 ** pages, maxCells);
    const items = await listCoveredItems(client, run, itemId, size);
    const page = items.map((item): RunCell => ({ itemId: item.itemId, repetition }));
    const current = await findCurrentResults(client, run, page);
    const purged = await findPurged(client, run, page);
    for (const [at, cell] of page.entries()) {
      const result = current[at];
      const isMissing = result === undefined && !purged.has(cell.itemId);
      if (isMissing && cells.length === wanted) break;
      if (isMissing) cells.push({ ...cell, attempts: 0, workerId: "" });
      if (result?.succeeded === false) failed.push({ ...cell, succeeded: false, attempts: result.attempt });
      itemId = cell.itemId;
    }
    if (items.length < size && itemId === (items.at(-1)?.itemId ?? itemId)) {
      repetition++;
      itemId = "";
    }
  }
  await followCells(client, { ...run, dealt: { ...run.dealt, repetition, itemId } }, failed);
  return { cells, position: { repetition, itemId }, isEmpty: repetition > run.repetitions };
}

function findPurged(
  client: Client,
  { datasetId }: LockedRun,
  cells: readonly RunCell[],
): Promise<ReadonlySet<string>> {
  return listPurged(client, datasetId, [...new Set(cells.map((cell) => cell.itemId))]);
}

function equals(one: Dealt, other: Dealt): boolean {
  return (
    one.repetition === other.repetition &&
    one.itemId === other.itemId &&
    one.leaseNumber === other.leaseNumber
  );
}
