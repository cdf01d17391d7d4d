import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newDirectoryBlobs } from "../../src/blobs/directory-blobs.ts";
import { openScratch } from "../../src/blobs/scratch.ts";
import type { Pool } from "../../src/db/pool.ts";
import { Turns } from "../../src/db/turns.ts";
import { newLog } from "../../src/log.ts";
import type { Resources } from "../../src/resources.ts";
import { loadPageTokens } from "../../src/rpc/page-token.ts";

/** What handlers work with, for suites that call them without a service. Directories are made when something is put there. */
export async function testResources(pool: Pool, resources: Partial<Resources> = {}): Promise<Resources> {
  const directory = join(tmpdir(), `assay-test-${randomUUID()}`);
  return {
    pool,
    turns: new Turns(),
    log: newLog("silent"),
    pageTokens: await loadPageTokens(pool),
    importTtlSeconds: 86_400,
    heartbeatSeconds: 10,
    minLeaseSeconds: 1,
    blobs: newDirectoryBlobs(join(directory, "blobs")),
    scratch: await openScratch(join(directory, "scratch")),
    maxUploadBytes: 1024 ** 3,
    uploadTtlSeconds: 86_400,
    stopping: new AbortController().signal,
    ...resources,
  };
}
