import type { Client } from "../db/pool.ts";
import type { DatasetHandle } from "../handles.ts";
import {
  lockRunsOfItem,
  streamReplacedScoresOfItem,
  streamResultsOfItem,
  updateErasedResults,
  updateErasedScores,
} from "./erasure-store.ts";
import { erasedError } from "./result.ts";
import { erasedScore } from "./score.ts";

/**
 * Erases the texts of all results of an item in all runs on a dataset whose row is locked, replaced results and scores
 * included, and returns the number of results. Locks the runs that may be taking such results.
 */
export async function eraseResults(
  client: Client,
  datasetId: DatasetHandle,
  itemId: string,
): Promise<bigint> {
  await lockRunsOfItem(client, datasetId, itemId);
  let count = 0n;
  for await (const results of streamResultsOfItem(client, datasetId, itemId)) {
    count += BigInt(results.length);
    await updateErasedResults(
      client,
      datasetId,
      results.map(({ error, scores, ...key }) => ({
        ...key,
        error: error && erasedError(error),
        scores: scores.map(erasedScore),
      })),
    );
  }
  for await (const scores of streamReplacedScoresOfItem(client, datasetId, itemId)) {
    await updateErasedScores(
      client,
      datasetId,
      scores.map(({ score, ...key }) => ({ ...key, score: erasedScore(score) })),
    );
  }
  return count;
}
