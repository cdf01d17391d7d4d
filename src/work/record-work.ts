import type { Client } from "../db/pool.ts";
import { listPurged } from "../items/purge-store.ts";
import { findCurrentResults } from "../results/current-result-store.ts";
import { writeResults } from "../results/write-results.ts";
import type { LockedRun } from "../runs/run.ts";
import { findCoveredItems } from "../runs/run-item-store.ts";
import { endLeases, findLeases } from "./lease-store.ts";
import {
  decideWork,
  groupsOfDistinctCells,
  type WorkDecision,
  type WorkOutcome,
  type WorkResult,
} from "./work.ts";

/** A result and the worker that sent it. */
export interface SentResult extends WorkResult {
  readonly workerId: string;
}

/** What became of each result, in order, and the run behind them. */
export interface RecordedWork {
  readonly run: LockedRun;
  readonly outcomes: readonly WorkOutcome[];
}

/**
 * Records results of workers in a locked run that is open, in their order. Each ends its lease.
 *
 * @throws Failure LIMIT_EXCEEDED if a result that is there already gets more scores than one may have.
 */
export async function recordWork(
  client: Client,
  run: LockedRun,
  sent: readonly SentResult[],
): Promise<RecordedWork> {
  const outcomes = new Array<WorkOutcome>(sent.length).fill("dropped");
  const itemIds = [...new Set(sent.map(({ result }) => result.itemId))];
  const itemVersions = await findCoveredItems(client, run, itemIds);
  const purged = await listPurged(client, run.datasetId, itemIds);
  let { sequence } = run;
  for (const group of groupsOfDistinctCells(sent.map(({ result }) => result))) {
    const members = group.map((position) => sent[position] as SentResult);
    const cells = members.map(({ result }) => result);
    const leases = await findLeases(client, run, cells);
    const current = await findCurrentResults(client, run, cells);
    const own = members.map(
      ({ workerId, leaseNumber }, at) =>
        leases[at]?.workerId === workerId && leases[at].number === leaseNumber,
    );
    const decided = members.flatMap(({ result }, at) => {
      const isPurged = purged.has(result.itemId);
      const work = decideWork(result, own[at] === true && !isPurged, current[at]);
      outcomes[group[at] as number] = isPurged ? droppedUnlessDuplicate(work) : work.outcome;
      if (isPurged || work.outcome === "dropped") return [];
      return [{ result, decision: work.decision, itemVersion: itemVersions.get(result.itemId) ?? 0n }];
    });
    ({ sequence } = await writeResults(client, { ...run, sequence }, decided));
    // A success has taken its cell from the workers already.
    const isDone = (at: number) =>
      cells[at]?.error === undefined && outcomes[group[at] as number] === "recorded";
    await endLeases(
      client,
      run,
      cells.filter((_, at) => own[at] && !isDone(at)),
    );
  }
  return { run: { ...run, sequence }, outcomes };
}

/**
 * What becomes of results that come when the run has ended: they are dropped, unless they were recorded before.
 */
export async function dropWork(
  client: Client,
  run: LockedRun,
  sent: readonly SentResult[],
): Promise<WorkOutcome[]> {
  const current = await findCurrentResults(
    client,
    run,
    sent.map(({ result }) => result),
  );
  return sent.map(({ result }, at) => droppedUnlessDuplicate(decideWork(result, false, current[at])));
}

/** The outcome of a result that cannot be recorded any more. */
function droppedUnlessDuplicate({ outcome }: WorkDecision): WorkOutcome {
  return outcome === "duplicate" ? outcome : "dropped";
}
