import type { Client } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";

/** A call that must take effect once, whether or not its answer arrives. */
export interface OnceRequest {
  readonly projectId: ProjectId;
  readonly requestId: string;
  readonly method: string;
  readonly fingerprint: Uint8Array;
}

/** A call that was answered before. */
export interface RememberedRequest {
  readonly method: string;
  readonly fingerprint: Uint8Array;
  /** In its wire form. */
  readonly response: Uint8Array;
}

/**
 * Claims a request_id, and returns whether it was free. Waits for a transaction that has claimed it. The row has no
 * answer until `setResponse`, in the same transaction, so no other transaction sees it without one.
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

/** Stores the answer for the lifetime of the resource, or for good if there is none. */
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
