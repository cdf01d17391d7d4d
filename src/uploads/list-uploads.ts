import type { Pool } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";
import type { PageTokens } from "../rpc/page-token.ts";
import type { Upload, UploadState } from "./upload.ts";
import { listUploads } from "./upload-store.ts";

/** A page of uploads to list. */
export interface UploadListing {
  /** Empty lists all. */
  readonly states: readonly UploadState[];
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

/** Lists uploads page by page, newest first. @throws Failure INVALID_PAGE_TOKEN */
export async function listUploadPage(
  { pool, pageTokens }: { readonly pool: Pool; readonly pageTokens: PageTokens },
  projectId: ProjectId,
  { states, pageSize, pageToken }: UploadListing,
): Promise<{ readonly uploads: readonly Upload[]; readonly nextPageToken: string }> {
  const binding = [projectId, states.join()];
  const after =
    pageToken === ""
      ? undefined
      : positionOf(pageTokens.open("page_token", pageToken, "ListUploads", binding));
  const { rows: uploads, more } = await listUploads(pool, projectId, { states, after, limit: pageSize });
  const last = uploads.at(-1);
  return {
    uploads,
    nextPageToken:
      more && last !== undefined
        ? pageTokens.seal("ListUploads", binding, [`${last.createTime}`, last.uploadId])
        : "",
  };
}

function positionOf([createTime = "0", uploadId = ""]: readonly string[]) {
  return { createTime: BigInt(createTime), uploadId };
}
