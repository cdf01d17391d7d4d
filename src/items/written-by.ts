/**
 * How statements find the rows that some versions wrote, which costs as much as these rows, however large the dataset is. Run
 * them `withIndexes`: a table that has no statistics yet would be read as a whole.
 */

/**
 * Up to so many versions, their rows are looked up one version after the other, at 0.3 ms each per million items; beyond
 * that, in all ranges from the first to the last. Fewer would read the rows of other writers in between where it could be
 * spared, more would look into the index longer than reading them takes.
 */
const fewVersions = 32;

/** The changesets of the versions of dataset $1 above one and up to another, as a CTE `writers`. */
export function writers(above: string, upTo: string): string {
  return `writers as materialized (
    select changeset_id from changesets where dataset_id = $1 and version > ${above} and version <= ${upTo}
  )`;
}

/** A condition that picks the revisions (`revision`) of dataset $1, behind an item_id, that a changeset wrote. */
export function writtenBy(changesetId: string, afterId: string): string {
  return `${ofDataset(afterId)} and ${writer} = ${changesetId}`;
}

/** The same for those that the `writers` wrote, which made the versions between these two. */
export function writtenBetween(lower: bigint, upper: bigint, afterId: string): string {
  const written =
    upper - lower <= fewVersions
      ? `${writer} = any(array(select changeset_id from writers))`
      : // Told to be true, the last part is looked up in a hash table. As a join it would be looked up in the index.
        `${writer} >= (select min(changeset_id) from writers) and ${writer} <= (select max(changeset_id) from writers)
         and (revision.changeset_id in (select changeset_id from writers)) is true`;
  return `${ofDataset(afterId)} and ${written}`;
}

/** As the index by block ranges has it. */
const writer = "(revision.changeset_id + 0)";

// The planner would take the primary key for these two, and read all of its entries for the dataset. Under a collation other
// than that of the key, which compares just the same, it cannot.
const ofDataset = (afterId: string) =>
  `revision.dataset_id = $1 collate "POSIX" and revision.item_id > ${afterId} collate "POSIX"`;
