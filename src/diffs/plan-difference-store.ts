import type { Changeset } from "../changesets/changeset.ts";
import { areMatched, matchedSplits, matching } from "../changesets/match-store.ts";
import { withHashJoins, withIndexes } from "../db/planner.ts";
import type { Client } from "../db/pool.ts";
import { keySize, payloadSize } from "../items/item-store.ts";
import { itemAt, supersededBetween } from "../items/visible-at.ts";
import { writers, writtenBetween, writtenBy } from "../items/written-by.ts";
import type { Difference } from "../versions/difference.ts";

/** The item_id after which to look for differences, and their maximum number. */
export interface WindowBounds {
  readonly after: string | undefined;
  readonly limit: number;
}

interface PlannedRow {
  item_id: string;
  before_changeset: bigint | null;
  after_item_id: string | null;
  after_changeset: bigint | null;
  keeps_splits: boolean | null;
  differs: boolean;
  key_bytes: bigint;
  payload_bytes: bigint;
}

/** A row of a plan and its effect on its item, if any. */
export interface PlannedDifference extends Difference {
  readonly differs: boolean;
}

const sizes = `${keySize} as key_bytes, coalesce(${payloadSize}, 0) as payload_bytes`;

/** The columns of the head's items that rows of a plan are compared with. */
const comparedColumns = `revision.changeset_id, revision.content_hash, revision.splits, ${sizes}`;

/** Selects the effects of rows with an id on the items of version $4. A row without splits leaves its item's splits unchanged. */
const comparedWithHead = `
  select wanted.item_id, head.changeset_id as before_changeset, wanted.item_id as after_item_id,
         wanted.changeset_id as after_changeset, wanted.keeps_splits,
         head.changeset_id is null or head.content_hash <> wanted.content_hash
           or (not wanted.keeps_splits and head.splits <> wanted.splits) as differs,
         (wanted.key_bytes + coalesce(head.key_bytes, 0))::bigint as key_bytes,
         (wanted.payload_bytes + coalesce(head.payload_bytes, 0))::bigint as payload_bytes
  from wanted
  left join lateral (${itemAt(comparedColumns, "$4", "wanted.item_id")}) head on true
  order by wanted.item_id`;

/** Lists the effects of a plan's staged rows with an id on the items of a version, in ascending order of item_id. */
export async function listStagedDifferences(
  client: Client,
  { datasetId, changesetId, itemIdPrefix }: Changeset,
  headVersion: bigint,
  { after, limit }: WindowBounds,
): Promise<PlannedDifference[]> {
  const { rows } = await withIndexes(client, () =>
    client.query<PlannedRow>(
      `with wanted as materialized (
         select revision.item_id, revision.changeset_id, revision.content_hash, revision.splits, revision.keeps_splits,
                ${sizes}
         from item_revisions revision
         where ${writtenBy("$2", "$5")} and not (revision.item_id >= $3 and revision.item_id < $3 || '~')
         order by revision.item_id
         limit $6
       )
       ${comparedWithHead}`,
      [datasetId, changesetId, itemIdPrefix, headVersion, after ?? "", limit],
    ),
  );
  return rows.map(fromRow);
}

/**
 * Lists the effects of the rows that left their item unchanged in the plan's base version, if a later version touched it: such
 * a row means the content that the item had then, and may restore it.
 */
export async function listCarriedDifferences(
  client: Client,
  { datasetId, changesetId, baseVersion }: Changeset,
  headVersion: bigint,
  { after, limit }: WindowBounds,
): Promise<PlannedDifference[]> {
  // A plan that was rebased meanwhile may have a base above the version that the diff began with.
  const [lower, upper] = baseVersion < headVersion ? [baseVersion, headVersion] : [headVersion, baseVersion];
  const { rows } = await withIndexes(client, () =>
    client.query<PlannedRow>(
      `with ${writers("least($3::bigint, $4::bigint)", "greatest($3::bigint, $4::bigint)")}, touched as materialized (
         select revision.item_id from item_revisions revision
         where ${writtenBetween(lower, upper, "$5")}
         union
         select revision.item_id from item_revisions revision
         where revision.dataset_id = $1 and ${supersededBetween("least($3::bigint, $4::bigint)", "greatest($3::bigint, $4::bigint)")}
           and revision.item_id > $5
       ), hit as materialized (
         select unnest(item_ids) as item_id, keeps_splits from changeset_base_hits
         where dataset_id = $1 and changeset_id = $2 and not changed
       ), carried as materialized (
         select hit.item_id, hit.keeps_splits
         from hit where hit.item_id in (select item_id from touched)
         order by hit.item_id
         limit $6
       ), wanted as materialized (
         select carried.item_id, carried.keeps_splits, base.*
         from carried
         cross join lateral (${itemAt(comparedColumns, "$3", "carried.item_id")}) base
       )
       ${comparedWithHead}`,
      [datasetId, changesetId, baseVersion, headVersion, after ?? "", limit],
    ),
  );
  return rows.map(fromRow);
}

/**
 * Lists the effects of a plan on the items of a version that no row with an id stands for: rows without an id are matched with
 * items of equal content, as in publishing, or create items; a mirror deletes the other items.
 */
export async function listUnaddressedDifferences(
  client: Client,
  { datasetId, changesetId, itemIdPrefix, mode }: Changeset,
  headVersion: bigint,
  { after, limit }: WindowBounds,
): Promise<PlannedDifference[]> {
  const inOnePass = <T>(work: () => Promise<T>) => withHashJoins(client, () => withIndexes(client, work));
  const { rows } = await inOnePass(() =>
    client.query<PlannedRow>(
      `with ${matching({
        staged: ["revision.changeset_id", sizes],
        live: ["revision.changeset_id", sizes],
        // A plan has only seen items of its base; publishing would rebase it first, so that it sees those of the head.
        alsoAddressed: `select revision.item_id from item_revisions revision where ${writtenBy("$2", "''")}`,
        othersToo: "$5",
      })}
       select coalesce(live.item_id, staged.item_id) as item_id, live.changeset_id as before_changeset,
              staged.item_id as after_item_id, staged.changeset_id as after_changeset, staged.keeps_splits,
              true as differs,
              (coalesce(live.key_bytes, 0) + coalesce(staged.key_bytes, 0))::bigint as key_bytes,
              (coalesce(live.payload_bytes, 0) + coalesce(staged.payload_bytes, 0))::bigint as payload_bytes
       from staged
       full join live on ${areMatched}
       where coalesce(live.item_id, staged.item_id) > $6
         and case when staged.item_id is null then $5
                  when live.item_id is null then true
                  else ${matchedSplits} <> live.splits end
       order by coalesce(live.item_id, staged.item_id)
       limit $7`,
      [datasetId, changesetId, itemIdPrefix, headVersion, mode === "mirror", after ?? "", limit],
    ),
  );
  return rows.map(fromRow);
}

function fromRow(row: PlannedRow): PlannedDifference {
  return {
    itemId: row.item_id,
    before:
      row.before_changeset === null ? undefined : { itemId: row.item_id, changesetId: row.before_changeset },
    after:
      row.after_item_id === null || row.after_changeset === null
        ? undefined
        : { itemId: row.after_item_id, changesetId: row.after_changeset },
    keepsSplits: row.keeps_splits ?? false,
    differs: row.differs,
    keyBytes: Number(row.key_bytes),
    payloadBytes: Number(row.payload_bytes),
  };
}
