import type { Notifications } from "../db/notifications.ts";
import { invalidField } from "../failure.ts";
import { type Instant, now } from "../instant.ts";
import { limits } from "../limits.ts";
import type { Resources } from "../resources.ts";
import { Follower } from "../rpc/follower.ts";
import type { Result } from "./result.ts";
import { listChanges, type ResultPage } from "./result-store.ts";
import { hasEnded, type Run } from "./run.ts";
import { getRun, getRunScope } from "./run-store.ts";

/** Which results to stream, and how. */
export interface StreamRequest {
  readonly runId: string;
  /** Goes on behind this place. */
  readonly afterSequence: bigint;
  /** Whether to go on until the run has ended. */
  readonly follow: boolean;
  readonly includeItem: boolean;
}

/** What a stream of results carries. */
export type ResultsFrame =
  | { readonly kind: "batch"; readonly results: readonly Result[] }
  | { readonly kind: "heartbeat"; readonly throughSequence: bigint; readonly time: Instant }
  | { readonly kind: "end"; readonly throughSequence: bigint; readonly run: Run };

const bounds = { results: limits.maxBatchSize, bytes: limits.maxBatchBytes };

/**
 * Streams the current results of a run in the order of their last change, page by page, holding no connection while the
 * client reads. With `follow` it waits for more until the run has ended: it is woken by changes, and looks by itself once
 * per heartbeat in case it was not.
 *
 * @throws Failure RUN_NOT_FOUND; INVALID_FIELD if the run has not come to `afterSequence`; SHUTTING_DOWN.
 */
export async function* followResults(
  resources: Resources,
  notifications: Notifications,
  projectId: string,
  { runId, afterSequence, follow, includeItem }: StreamRequest,
  signal: AbortSignal,
): AsyncGenerator<ResultsFrame> {
  const { pool, stopping, heartbeatSeconds } = resources;
  using follower = follow
    ? new Follower({ notifications, key: runId, heartbeatSeconds, stopping, signal })
    : undefined;

  let through = afterSequence;
  let heartbeatIsDue = false;
  for (;;) {
    // Read before the results: all places up to its sequence are filled by then, and an ended run takes no more of them
    // but for scores.
    const run = await getRun(pool, projectId, runId);
    if (afterSequence > run.sequence) throw invalidField("after_sequence", `the run is at ${run.sequence}`);
    const readPage = () => listChanges(pool, run, through, { ...bounds, includeItem });
    let page: ResultPage | undefined = await readPage();
    while (page !== undefined) {
      const { results, isLast }: ResultPage = page;
      through = results.at(-1)?.sequence ?? through;
      // Read while this page is sent. If the caller is gone then, nobody hears how it ends.
      const next: Promise<ResultPage> | undefined = isLast ? undefined : readPage();
      next?.catch(() => undefined);
      if (results.length > 0) {
        yield { kind: "batch", results };
        follower?.spoke();
        heartbeatIsDue = false;
      }
      page = await next;
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
