import type { Pool } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";
import { resultIdParts } from "../runs/run.ts";
import { findRunScopeOfResults } from "../runs/run-store.ts";
import { type Result, type ResultView, resultNotFound } from "./result.ts";
import { findResult } from "./result-store.ts";
import type { RecordedScore } from "./score.ts";
import { listReplacedScores } from "./score-store.ts";

/** The most replaced scores that are returned; the contract promises this number. */
const maxReplacedScores = 20;

/** A result, current or replaced, with the last 20 of its scores that were replaced. */
export interface ResultHistory {
  readonly result: Result;
  /** Newest first. */
  readonly replacedScores: readonly RecordedScore[];
}

/** @throws Failure RESULT_NOT_FOUND, also for a result of another project. */
export async function getResult(
  pool: Pool,
  projectId: ProjectId,
  resultId: string,
  view: ResultView,
): Promise<ResultHistory> {
  const parts = resultIdParts(resultId);
  if (parts === undefined) throw resultNotFound(resultId);
  const scope = await findRunScopeOfResults(pool, projectId, parts.prefix);
  if (scope === undefined) throw resultNotFound(resultId);
  const result = await findResult(pool, scope, parts.number, view);
  if (result === undefined) throw resultNotFound(resultId);
  return { result, replacedScores: await listReplacedScores(pool, scope, parts.number, maxReplacedScores) };
}
