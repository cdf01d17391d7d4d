import { IncompleteView } from "../../gen/itembank/v1/run_service_pb.js";
import type { Connection } from "../rpc/connection.ts";
import type { Cell } from "./run-cell.ts";

/** Items on a page. The server makes pages of large items shorter. */
const pageSize = 1_000;

/**
 * Yields the cells of a run that lack a success, in order of item and repetition: all cells of a new run, the rest of an
 * interrupted one. No cell is yielded twice, whatever is recorded meanwhile.
 */
export async function* openCells(
  { runs }: Connection,
  runId: string,
  signal: AbortSignal,
): AsyncGenerator<Cell> {
  let pageToken = "";
  do {
    const page = await runs.listIncomplete(
      { runId, view: IncompleteView.WITH_ITEM, pageSize, pageToken },
      { signal },
    );
    for (const { item, missingRepetitions, failedRepetitions } of page.items) {
      if (item === undefined || item.purged) continue;
      const repetitions = [...missingRepetitions, ...failedRepetitions].sort((one, other) => one - other);
      for (const repetition of repetitions) yield { item, repetition };
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
