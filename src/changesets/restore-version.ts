import type { VersionSelector } from "../versions/version.ts";
import { resolveVersion } from "../versions/version-store.ts";
import type { ChangesetRequest } from "./changeset.ts";
import { publish } from "./publish.ts";
import { stageRestored } from "./stage-restored.ts";
import { type WriteResult, type WriteTarget, writeOnce } from "./write-once.ts";

/**
 * Makes a version whose items equal those of an older one, or a plan of it. Which version a tag or a time means is settled
 * when the write begins, so that a repetition gives the first answer wherever the tag is then.
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
