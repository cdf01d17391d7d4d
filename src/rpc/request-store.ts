import type { Client } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";

/** A call that is made once, whatever becomes of its answer. */
export interface OnceRequest {
  readonly projectId: ProjectId;
  readonly requestId: string;
  readonly method: string;
  readonly fingerprint: Uint8Array;
}

/** What is remembered of a call. */
export interface RememberedRequest {
  readonly method: string;
  readonly fingerprint: Uint8Array;
  /** As it went on the wire. */
  readonly response: Uint8Array;
}

/**
 * Takes a request_id, and says whether it was free. Waits for a transaction that has taken it. The row has no answer until
 * `setResponse`, in the same transaction, so that nobody else sees it without one.
 */
export async function insertRequest(
  client: Client,
  { projectId, requestId, method, fingerprint }: OnceRequest,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `insert into requests (project_id, request_id, method, fingerprint, response) values ($1, $2, $3, $4, '')
     on conflict (project_id, request_id) do nothing`,
    [projectId, requestId, method, fingerprint],
  );
  return rowCount === 1;
}

export async function findRequest(
  client: Client,
  { projectId, requestId }: Pick<OnceRequest, "projectId" | "requestId">,
): Promise<RememberedRequest | undefined> {
  const { rows } = await client.query<{ method: string; fingerprint: Buffer; response: Buffer }>(
    "select method, fingerprint, response from requests where project_id = $1 and request_id = $2",
    [projectId, requestId],
  );
  return rows[0];
}

/** Keeps the answer for as long as the resource, or for good if there is none. */
export async function setResponse(
  client: Client,
  { projectId, requestId }: Pick<OnceRequest, "projectId" | "requestId">,
  { response, resourceId }: { readonly response: Uint8Array; readonly resourceId: string | undefined },
): Promise<void> {
  await client.query(
    "update requests set response = $3, resource_id = $4 where project_id = $1 and request_id = $2",
    [projectId, requestId, response, resourceId],
  );
}
