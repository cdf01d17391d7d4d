import { type Instant, instantToSql, now } from "../db/instant.ts";
import type { Sweeper } from "../db/periodic-sweeper.ts";
import type { Client, Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import type { DatasetHandle } from "../handles.ts";
import { discard } from "./apply-plan.ts";
import { lockChangeset } from "./changeset-store.ts";

/** Discards expired writes. */
export function newExpiredChangesetSweeper(pool: Pool): Sweeper {
  return {
    name: "expired writes",
    sweep: (signal) => sweepExpiredChangesets(pool, now(), signal),
  };
}

/** Discards all open and planned writes that expired before `time`, each in a transaction of its own, and counts them. */
export async function sweepExpiredChangesets(
  pool: Pool,
  time: Instant,
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  while (!signal.aborted && (await transaction(pool, (client) => discardOneExpired(client, time)))) count++;
  return count;
}

async function discardOneExpired(client: Client, time: Instant): Promise<boolean> {
  // Writes that somebody is working on are locked, and about to get a new expire_time.
  const { rows } = await client.query<{ dataset_id: DatasetHandle; request_id: string }>(
    `select dataset_id, request_id from changesets where expire_time < $1
     order by expire_time limit 1 for update skip locked`,
    [instantToSql(time)],
  );
  const [row] = rows;
  const changeset = row && (await lockChangeset(client, row.dataset_id, row.request_id));
  if (changeset === undefined) return false;
  await discard(client, changeset);
  return true;
}
