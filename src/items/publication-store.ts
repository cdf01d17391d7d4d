import type { Client } from "../db/pool.ts";
import type { Instant } from "../instant.ts";
import { Publications } from "./publications.ts";

/** Looks changesets up by their keys. Run it in a transaction in index order. */
export async function findPublications(
  client: Client,
  datasetId: string,
  version: bigint,
  changesetIds: ReadonlySet<number>,
): Promise<Publications> {
  // Four indexes begin with dataset_id, and to the planner all are alike as long as the table is small or without statistics;
  // only the key gives the order that is asked for here, and in index order it does not sort.
  const { rows } = await client.query<{ changeset_id: bigint; version: bigint; publish_time: Instant }>({
    name: "list_publications",
    text: `select changeset.*
           from unnest($3::bigint[]) as wanted(changeset_id)
           cross join lateral (
             select changeset_id, version, publish_time from changesets
             where dataset_id = $1 and changeset_id >= wanted.changeset_id and changeset_id <= wanted.changeset_id
               and version <= $2
             order by changeset_id
             limit 1
           ) changeset`,
    values: [datasetId, version, [...changesetIds]],
  });
  return new Publications(
    new Map(
      rows.map(({ changeset_id, version, publish_time }) => [
        Number(changeset_id),
        { version, createTime: publish_time, updateTime: publish_time },
      ]),
    ),
  );
}
