import type { Instant } from "../db/instant.ts";
import type { Queryable } from "../db/pool.ts";
import type { DatasetHandle } from "../handles.ts";
import type { ChangeKind, ItemRevision } from "./item.ts";
import {
  type ItemRow,
  itemFromRow,
  keyColumns,
  keySize,
  payloadColumns,
  payloadSize,
  withoutExcess,
} from "./item-store.ts";

/** Bounds of a page. It has at least one entry, however large. */
export interface HistoryBounds {
  /** Entries of versions below this one; undefined starts with the newest. */
  readonly before: bigint | undefined;
  readonly entries: number;
  /** Maximum size of payloads, ids and splits. */
  readonly bytes: number;
}

type RevisionRow = ItemRow & {
  made_by: bigint;
  kind: ChangeKind;
  made_at: Instant;
  author: string;
  note: string;
  crosses: boolean;
};

/** Returns a page of the changes of an item, newest first. `isLast` if nothing follows. */
export async function listItemRevisions(
  db: Queryable,
  datasetId: DatasetHandle,
  itemId: string,
  { before, entries, bytes }: HistoryBounds,
): Promise<{ revisions: ItemRevision[]; isLast: boolean }> {
  // The key finds all revisions of the item, without their payloads; it orders them by changeset, which is not the
  // order of versions where a long import was overtaken. A revision that ended where no other begins was deleted.
  const { rows } = await db.query<RevisionRow>({
    name: "list_item_revisions",
    text: `with written as (
       select made.version, revision.changeset_id, revision.superseded_at,
              case when coalesce(revision.origin_changeset_id, revision.changeset_id) = revision.changeset_id
                   then 'created' else 'updated' end as kind
       from item_revisions revision
       join changesets made on made.dataset_id = $1 and made.changeset_id = revision.changeset_id
       where revision.dataset_id = $1 and revision.item_id = $2 and made.version is not null
     ), history as (
       select version, changeset_id, kind from written
       union all
       select superseded_at, null, 'deleted' from written
       where superseded_at is not null and superseded_at not in (select version from written)
     )
     select *, bytes > $5 as crosses from (
       select page.*, sum(size) over (order by made_by desc)::bigint as bytes
       from (
         select made.version as made_by, history.kind, made.publish_time as made_at, made.author, made.note,
                ${keyColumns}, ${payloadColumns},
                coalesce(${keySize}, 0) + coalesce(${payloadSize}, 0)
                  + octet_length(made.note) + octet_length(made.author) + 256 as size
         from history
         join changesets made on made.dataset_id = $1 and made.version = history.version
         left join item_revisions revision
           on revision.dataset_id = $1 and revision.item_id = $2 and revision.changeset_id = history.changeset_id
         left join changesets changeset
           on changeset.dataset_id = $1 and changeset.changeset_id = revision.changeset_id
         left join changesets origin
           on origin.dataset_id = $1
          and origin.changeset_id = coalesce(revision.origin_changeset_id, revision.changeset_id)
         where $3::bigint is null or history.version < $3
         order by made.version desc
         limit $4
       ) page
     ) sized where bytes - size <= $5
     order by made_by desc`,
    values: [datasetId, itemId, before, entries + 1, bytes],
  });
  const { page, isLast } = withoutExcess(rows, entries);
  return { revisions: page.map(fromRow), isLast };
}

function fromRow(row: RevisionRow): ItemRevision {
  const { made_by: version, kind, made_at: createTime, author, note } = row;
  return {
    version,
    kind,
    item: kind === "deleted" ? undefined : itemFromRow(row),
    createTime,
    author,
    note,
  };
}
