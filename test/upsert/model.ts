/**
 * A minimal model of imports: the whole dataset in a map, to which rows are applied one by one. Contents are
 * compared as texts, so they must be spelled canonically.
 */

export interface ModelRow {
  /** Empty for a row without an id. */
  readonly itemId: string;
  readonly content: string;
}

export interface ModelCounts {
  created: number;
  updated: number;
  unchanged: number;
  deleted: number;
}

/** Ids of items that the model creates; the service assigns others, so only their number and content are compared. */
let assigned = 0;

/** Applies the rows to `items` and counts the changes. */
export function importRows(
  items: Map<string, string>,
  rows: readonly ModelRow[],
  mode: "merge" | "mirror",
): ModelCounts {
  const counts = { created: 0, updated: 0, unchanged: 0, deleted: 0 };
  const before = [...items.keys()];
  const addressed = new Set(rows.filter((row) => row.itemId !== "").map((row) => row.itemId));
  const free = before.filter((itemId) => !addressed.has(itemId)).sort(byAssignedThenId);
  for (const { itemId, content } of rows.filter((row) => row.itemId !== "")) {
    counts[items.has(itemId) ? (items.get(itemId) === content ? "unchanged" : "updated") : "created"]++;
    items.set(itemId, content);
  }
  for (const { content } of rows.filter((row) => row.itemId === "")) {
    const match = free.findIndex((itemId) => items.get(itemId) === content);
    if (match >= 0) {
      addressed.add(free[match] as string);
      free.splice(match, 1);
      counts.unchanged++;
    } else {
      items.set(`item-${String(assigned++).padStart(12, "0")}`, content);
      counts.created++;
    }
  }
  if (mode === "merge") return counts;
  for (const itemId of before.filter((one) => !addressed.has(one))) {
    items.delete(itemId);
    counts.deleted++;
  }
  return counts;
}

const isAssigned = (itemId: string) => itemId.startsWith("item-");

function byAssignedThenId(one: string, other: string): number {
  return Number(isAssigned(other)) - Number(isAssigned(one)) || (one < other ? -1 : 1);
}

/** Returns the part in which two states must agree: items with the caller's ids, and the contents of the others as a multiset. */
export function comparable(items: Iterable<readonly [itemId: string, content: string]>): {
  named: Record<string, string>;
  unnamed: string[];
} {
  const all = [...items];
  const unnamed = ([itemId]: readonly [string, string]) => /^item[-0-9a-z]{13,}$/.test(itemId);
  return {
    named: Object.fromEntries(all.filter((item) => !unnamed(item)).sort()),
    unnamed: all
      .filter(unnamed)
      .map(([, content]) => content)
      .sort(),
  };
}
