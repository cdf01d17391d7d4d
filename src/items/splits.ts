/** Returns the splits of an item in their stored form: each once, in ascending byte order. */
export function normalizeSplits(splits: readonly string[]): readonly string[] {
  if (splits.length < 2) return splits;
  return [...new Set(splits)].sort(compareBytes);
}

/** Whether two normalized lists of splits are equal. */
export function equalSplits(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((split, index) => split === other[index]);
}

/**
 * Compares texts by their UTF-8 bytes, as PostgreSQL does under collation "C". JavaScript compares UTF-16 units, which
 * differs where a surrogate meets a character from U+E000 on.
 */
export function compareBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
