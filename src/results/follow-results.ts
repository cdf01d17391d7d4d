import type { CopiedColumns } from "../db/copied-columns.ts";
import { type Instant, now } from "../db/instant.ts";
import type { Notifications } from "../db/notifications.ts";
import type { Pool } from "../db/pool.ts";
import { invalidField } from "../failure.ts";
import type { ProjectId } from "../handles.ts";
import type { Item } from "../items/item.ts";
import { cutFrames, streamPages } from "../items/stream-pages.ts";
import { limits } from "../limits.ts";
import { Follower } from "../rpc/follower.ts";
import { hasEnded, type Run, type RunScope } from "../runs/run.ts";
import { getRun, getRunScope } from "../runs/run-store.ts";
import type { ResultView } from "./result.ts";
import { columnOf } from "./result-page.ts";
import { copyChanges } from "./result-store.ts";

/** Which results to stream, and how. */
export interface StreamRequest {
  readonly runId: string;
  /** Goes on behind this sequence number. */
  readonly afterSequence: bigint;
  /** Whether to go on until the run has ended. */
  readonly follow: boolean;
  readonly view: ResultView;
}

/** What a stream of results carries. */
export type ResultsFrame =
  | { readonly kind: "batch" }
  | { readonly kind: "heartbeat"; readonly throughSequence: bigint; readonly time: Instant }
  | { readonly kind: "end"; readonly throughSequence: bigint; readonly run: Run };

/** Takes results as they come, and is what a frame is made of. */
interface ResultBatch {
  begin(): void;
  add(row: CopiedColumns, scope: RunScope, item: Item | undefined): void;
}

const frameSize = { limit: limits.maxBatchSize, bytes: limits.maxBatchBytes };

/** What following results works with. */
export interface FollowResources {
  readonly pool: Pool;
  /** Tell of changes of runs. */
  readonly notifications: Notifications;
  /** Fires when the service begins to stop. */
  readonly stopping: AbortSignal;
  /** How long the stream may be silent. */
  readonly heartbeatSeconds: number;
}

/**
 * Streams the current results of a run in the order of their last change, page by page, holding no connection while the
 * client reads. With `follow` it waits for more until the run has ended: it is woken by changes, and looks by itself once
 * per heartbeat in case it was not.
 *
 * @param batch What the results of a frame are put into: it holds those of the batch that was yielded last.
 * @throws Failure RUN_NOT_FOUND; INVALID_FIELD if the run has not come to `afterSequence`; SHUTTING_DOWN.
 */
export async function* followResults(
  { pool, notifications, stopping, heartbeatSeconds }: FollowResources,
  projectId: ProjectId,
  { runId, afterSequence, follow, view, signal }: StreamRequest & { readonly signal: AbortSignal },
  batch: ResultBatch,
): AsyncGenerator<ResultsFrame> {
  using follower = follow
    ? new Follower({ notifications, key: runId, heartbeatSeconds, stopping, signal })
    : undefined;

  let through = afterSequence;
  let heartbeatIsDue = false;
  for (;;) {
    // Read before the results: all numbers up to its sequence are taken by then, and an ended run takes no more of them
    // but for scores.
    const run = await getRun(pool, projectId, runId);
    if (afterSequence > run.sequence) throw invalidField("after_sequence", `the run is at ${run.sequence}`);
    for await (const behind of streamChanges(pool, run, { after: through, view }, batch)) {
      through = behind;
      yield { kind: "batch" };
      follower?.spoke();
      heartbeatIsDue = false;
    }
    // Places of results that were replaced since are passed over.
    if (run.sequence > through) through = run.sequence;
    if (follower === undefined || hasEnded(run.state)) {
      // The results of a run that was deleted meanwhile may have been gone before they were read.
      await getRunScope(pool, projectId, runId);
      yield { kind: "end", throughSequence: through, run };
      return;
    }
    if (heartbeatIsDue) {
      yield { kind: "heartbeat", throughSequence: through, time: now() };
      follower.spoke();
    }
    ({ heartbeatIsDue } = await follower.wait());
  }
}

/** Puts the current results of a run into batches. Yields the sequence number of the last one in each. */
function streamChanges(
  pool: Pool,
  scope: RunScope,
  { after, view }: { readonly after: bigint; readonly view: ResultView },
  batch: ResultBatch,
): AsyncGenerator<bigint> {
  return streamPages(pool, scope.datasetId, after, {
    read: (behind, size) => copyChanges(pool, scope, { after: behind, size, view }),
    frames({ results, items }) {
      const { row } = results;
      let last = 0;
      return cutFrames(results, frameSize, {
        begin: () => batch.begin(),
        add() {
          const item = items.size === 0 ? undefined : items.get(row.text(columnOf("item_id")));
          batch.add(row, scope, item);
          last = row.int8(columnOf("sequence"));
        },
        end: () => ({ frame: BigInt(last), through: BigInt(last) }),
      });
    },
  });
}
