/** Returns a number with separators of thousands: `1,048,576`. */
export function grouped(value: number | bigint): string {
  return value.toLocaleString("en-US");
}

/** Returns a count with its noun: `1 row`, `2,000 rows`. */
export function plural(count: number | bigint, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${Number(count) === 1 ? one : many}`;
}
