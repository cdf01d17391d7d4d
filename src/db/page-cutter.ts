import { limits } from "../limits.ts";

/** A listing, as SQL. */
export interface PageStatement {
  /** Selects the rows after the last page, without order and limit. */
  readonly rows: string;
  /** Orders the rows by columns of theirs that no two rows share: `create_time desc, run_id desc`. */
  readonly orderBy: string;
  /** The bytes of a row as a message, or a bit more, from columns of it. */
  readonly size: string;
  /** The parameter with the most rows that a page may have, `$2`. */
  readonly limit: string;
}

/** What the statement adds to each row. */
export interface CutRow {
  /** How many rows there are from the beginning of the page on, at most one more than the page may have. */
  readonly found: bigint;
}

/** Rows that make up a page. */
export interface Page<T> {
  readonly rows: readonly T[];
  /** Whether another page follows. */
  readonly more: boolean;
}

/**
 * Returns the statement of one page of a listing: as many rows as the caller asks for and as fit into a message
 * (`limits.maxBatchBytes`), at least one if there is any. What does not fit stays in the database: a thousand rows of the
 * largest legal size would be hundreds of megabytes.
 */
export function pageStatement({ rows, orderBy, size, limit }: PageStatement): string {
  return `
    with listed as (
      ${rows}
      order by ${orderBy}
      limit ${limit}::bigint + 1
    ), measured as (
      select *, count(*) over () as found, row_number() over page as position, sum(${size}) over page as bytes
      from listed
      window page as (order by ${orderBy})
    )
    select * from measured
    where position <= ${limit}::bigint and (bytes <= ${limits.maxBatchBytes} or position = 1)
    order by position`;
}

/** Returns the page that the rows of such a statement make up. */
export function cutPage<R extends CutRow, T>(rows: readonly R[], fromRow: (row: R) => T): Page<T> {
  return { rows: rows.map(fromRow), more: BigInt(rows.length) < (rows[0]?.found ?? 0n) };
}
