/**
 * The words that SQL reserves: as the name of a table without quotes, they are syntax errors. PostgreSQL 15 to 18
 * (`select word from pg_get_keywords() where catcode in ('R', 'T')`) or DuckDB 1.5 (`select keyword_name from
 * duckdb_keywords() where keyword_category in ('reserved', 'type_function')`) reserve them.
 *
 * A word too many costs a generated table name an underscore; a word too few makes a table that must be quoted.
 */
const words = `
  all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check collate
  collation column columns concurrently constraint create cross current_catalog current_date current_role current_schema
  current_time current_timestamp current_user default deferrable desc describe distinct do else end except false fetch for
  foreign freeze from full generated glob grant group having ilike in initially inner intersect into is isnull join lambda
  lateral leading left like limit localtime localtimestamp map natural not notnull null offset on only or order outer
  overlaps pivot pivot_longer pivot_wider placing positional primary qualify references returning right select semi
  session_user show similar some struct summarize symmetric system_user table tablesample then to trailing true try_cast
  union unique unpack unpivot user using variadic verbose when where window with`;

const reservedWords: ReadonlySet<string> = new Set(words.trim().split(/\s+/));

/** Whether SQL reserves a word, in upper or lower case. */
export function isReservedWord(word: string): boolean {
  return reservedWords.has(word.toLowerCase());
}
