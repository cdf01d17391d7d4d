import { withIndexOrder } from "../db/planner.ts";
import type { Pool } from "../db/pool.ts";
import { snapshot } from "../db/transaction.ts";
import type { ProjectId } from "../handles.ts";
import type { Run } from "../runs/run.ts";
import { getRun } from "../runs/run-store.ts";
import {
  type ComparisonItem,
  compareScore,
  defaultSettings,
  requireComparable,
  type ScoreComparison,
  type ScoreSetting,
} from "./comparison.ts";
import { readSideBySide } from "./comparison-store.ts";

/** The runs to compare, and the scores to compare them by. */
export interface CompareRequest {
  readonly baseRunId: string;
  readonly candidateRunId: string;
  /** Empty means all scores that either run has. */
  readonly settings: readonly ScoreSetting[];
}

/** Two runs, compared. */
export interface RunComparison {
  readonly base: Run;
  readonly candidate: Run;
  /** The items that both cover, in ascending byte order of item_id. */
  readonly items: readonly ComparisonItem[];
  readonly baseOnlyItemCount: number;
  readonly candidateOnlyItemCount: number;
  /** One for each of `scores`. */
  readonly settings: readonly ScoreSetting[];
  readonly scores: readonly ScoreComparison[];
}

/**
 * Compares two runs in one snapshot. Everything is read before the first frame is sent, so that summary and rows agree however
 * slowly they are received, and no connection is held meanwhile.
 *
 * @throws Failure RUN_NOT_FOUND, RUNS_NOT_COMPARABLE
 */
export async function compareRuns(
  pool: Pool,
  projectId: ProjectId,
  { baseRunId, candidateRunId, settings }: CompareRequest,
): Promise<RunComparison> {
  return snapshot(pool, async (client) => {
    const base = await getRun(client, projectId, baseRunId);
    const candidate = await getRun(client, projectId, candidateRunId);
    requireComparable(base, candidate);
    const { scoreNames, ...sides } = await withIndexOrder(client, () =>
      readSideBySide(client, base, candidate),
    );
    const used = settings.length > 0 ? settings : defaultSettings(scoreNames);
    return {
      base,
      candidate,
      ...sides,
      settings: used,
      scores: used.map((setting) => compareScore(sides.items, setting)),
    };
  });
}
