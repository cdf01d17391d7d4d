import type { ChangesetRequest } from "../changesets/changeset.ts";
import { schemasInForce } from "../changesets/check-rows.ts";
import { listMatches } from "../changesets/match-store.ts";
import type { RowOutcome } from "../changesets/outcome-store.ts";
import { publish } from "../changesets/publish.ts";
import { numberRows, stageRows } from "../changesets/stage-rows.ts";
import { type WriteResult, type WriteTarget, writeOnce } from "../changesets/write-once.ts";
import type { Row } from "../items/item.ts";

/**
 * Imports a few rows in one transaction, and returns the outcome of each.
 *
 * @throws Failure as writeOnce and publish do.
 */
export async function upsertItems(
  resources: Parameters<typeof writeOnce>[0],
  writeTarget: WriteTarget,
  rows: readonly Row[],
  request: ChangesetRequest,
): Promise<WriteResult> {
  return writeOnce(resources, writeTarget, request, async (client, changeset, target) => {
    const numbered = numberRows(changeset, rows, 0);
    const staging = {
      baseIsEmpty: target.itemCount === 0n,
      schemas: await schemasInForce(client, target, request.newDataset),
      field: (rowNumber: number) => `items[${rowNumber}]`,
    };
    const kinds = await stageRows(client, changeset, staging, numbered);
    changeset.received = BigInt(rows.length);
    changeset.receivedBytes = BigInt(rows.reduce((size, row) => size + row.size, 0));
    const outcome = await publish(client, changeset, target, { planOnly: request.validateOnly });

    const { updated, unchanged } = changeset.unidentified;
    const matches = updated + unchanged > 0n ? await listMatches(client) : new Map();
    const outcomes = numbered.map((row, position): RowOutcome => {
      const match = matches.get(row.itemId);
      if (match !== undefined) return { itemId: match.itemId, kind: match.changed ? "updated" : "unchanged" };
      const kind = kinds[position] ?? "created";
      // The ids of items that a plan would create cannot be read yet, so they are left out.
      const named = !row.unidentified || changeset.state === "published";
      return { itemId: named ? row.itemId : "", kind };
    });
    return { ...outcome, rows: outcomes };
  });
}
