import type { VersionSelector } from "../versions/version.ts";
import { resolveVersion } from "../versions/version-store.ts";
import type { ChangesetRequest } from "./changeset.ts";
import { publish } from "./publish.ts";
import { stageRestored } from "./stage-restored.ts";
import { type WriteResult, type WriteTarget, writeOnce } from "./write-once.ts";

/**
 * Makes a version whose items equal those of an older one, or plans it. A tag or time is resolved to a version when the write
 * begins, so a repetition returns the first answer even if the tag has moved.
 *
 * @throws Failure VERSION_NOT_FOUND, TAG_NOT_FOUND, and those of writeOnce.
 */
export async function restoreVersion(
  resources: Parameters<typeof writeOnce>[0],
  writeTarget: WriteTarget,
  at: VersionSelector,
  request: ChangesetRequest,
): Promise<WriteResult> {
  return writeOnce(resources, writeTarget, request, async (client, changeset, target) => {
    changeset.restoredVersion = await resolveVersion(client, target, at);
    await stageRestored(client, changeset, target.headVersion);
    const outcome = await publish(client, changeset, target, { planOnly: request.validateOnly });
    return { ...outcome, rows: [] };
  });
}
