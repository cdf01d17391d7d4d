import type { Client } from "../db/pool.ts";
import { listPurged } from "../items/purge-store.ts";
import { present } from "../present.ts";
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

/** The outcome of each result, in order, and the run after them. */
export interface RecordedWork {
  readonly run: LockedRun;
  readonly outcomes: readonly WorkOutcome[];
}

/**
 * Records results of workers in a locked run that is open, in their order. Each ends its lease.
 *
 * @throws Failure LIMIT_EXCEEDED if an unchanged result gets more scores than one may have.
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
    const members = group.map((position) => ({ position, ...present(sent[position]) }));
    const cells = members.map(({ result }) => result);
    const leases = await findLeases(client, run, cells);
    const current = await findCurrentResults(client, run, cells);
    const judged = members.map(({ position, workerId, leaseNumber, result }, at) => {
      const isLeased = leases[at]?.workerId === workerId && leases[at].number === leaseNumber;
      const isPurged = purged.has(result.itemId);
      const work = decideWork(result, isLeased && !isPurged, current[at]);
      const outcome = isPurged ? droppedUnlessDuplicate(work) : work.outcome;
      outcomes[position] = outcome;
      return { result, isLeased, isPurged, work, outcome };
    });
    const decided = judged.flatMap(({ result, isPurged, work }) =>
      isPurged || work.outcome === "dropped"
        ? []
        : [{ result, decision: work.decision, itemVersion: itemVersions.get(result.itemId) ?? 0n }],
    );
    ({ sequence } = await writeResults(client, { ...run, sequence }, decided));
    // Writing a success has deleted its open cell, and the lease with it.
    const stillOpen = judged.filter(
      ({ result, isLeased, outcome }) => isLeased && (result.error !== undefined || outcome !== "recorded"),
    );
    await endLeases(
      client,
      run,
      stillOpen.map(({ result }) => result),
    );
  }
  return { run: { ...run, sequence }, outcomes };
}

/** Returns the outcomes of results that arrive after the run has ended: dropped, unless they were recorded before. */
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

/** Returns the outcome of a result that can no longer be recorded. */
function droppedUnlessDuplicate({ outcome }: WorkDecision): WorkOutcome {
  return outcome === "duplicate" ? outcome : "dropped";
}
