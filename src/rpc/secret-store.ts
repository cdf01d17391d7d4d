import type { Queryable } from "../db/pool.ts";

/** The secret of this name, which all servers on this database share. @throws Error if there is none */
export async function getSecret(db: Queryable, name: string): Promise<Buffer> {
  const { rows } = await db.query<{ value: Buffer }>("select value from secrets where name = $1", [name]);
  const row = rows[0];
  if (row === undefined) throw new Error(`the table secrets has no row ${name}`);
  return row.value;
}
