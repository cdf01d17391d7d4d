/**
 * A minimal model of a dataset: a list of versions, each a map of all its items, and tags on them. Contents
 * are JSON texts, spelled canonically, so that equal texts are equal contents.
 */

export interface ModelItem {
  readonly content: string;
  /** In ascending order, without duplicates. */
  readonly splits: readonly string[];
  /** The version that wrote its current state. */
  readonly version: number;
  /** The version that created or recreated it. */
  readonly origin: number;
}

/** The state of an item after a write. */
export type ModelValue = Pick<ModelItem, "content" | "splits">;

export type ModelState = ReadonlyMap<string, ModelItem>;

export interface ModelChange {
  readonly itemId: string;
  readonly kind: "created" | "updated" | "deleted";
}

export class DatasetModel {
  /** By number. Version 0 is empty. */
  readonly versions: ModelState[] = [new Map()];
  readonly tags = new Map<string, number>();
  readonly purged = new Set<string>();

  get latest(): number {
    return this.versions.length - 1;
  }

  get items(): ModelState {
    return this.state(this.latest);
  }

  state(version: number): ModelState {
    return this.versions[version] ?? new Map();
  }

  /** Replaces the items, in a new version unless they are unchanged. Returns whether there is a new version. */
  write(values: ReadonlyMap<string, ModelValue>): boolean {
    if (sameValues(this.items, values)) return false;
    const version = this.versions.length;
    const next = new Map<string, ModelItem>();
    for (const [itemId, { content, splits }] of values) {
      const known = this.items.get(itemId);
      if (known !== undefined && sameValue(known, { content, splits })) next.set(itemId, known);
      else next.set(itemId, { content, splits, version, origin: known?.origin ?? version });
    }
    this.versions.push(next);
    return true;
  }

  /** Returns the differences between two versions, by item_id. */
  diff(before: number, after: number): ModelChange[] {
    const [one, other] = [this.state(before), this.state(after)];
    return [...new Set([...one.keys(), ...other.keys()])].sort().flatMap((itemId): ModelChange[] => {
      const [was, is] = [one.get(itemId), other.get(itemId)];
      if (was === undefined) return [{ itemId, kind: "created" }];
      if (is === undefined) return [{ itemId, kind: "deleted" }];
      return sameValue(was, is) ? [] : [{ itemId, kind: "updated" }];
    });
  }

  /** Returns the history of an item, newest first. */
  history(itemId: string): { readonly version: number; readonly kind: ModelChange["kind"] }[] {
    return this.versions
      .flatMap((_, version) => {
        const change =
          version === 0 ? undefined : this.diff(version - 1, version).find((one) => one.itemId === itemId);
        return change === undefined ? [] : [{ version, kind: change.kind }];
      })
      .reverse();
  }
}

function sameValue(one: ModelValue, other: ModelValue): boolean {
  return one.content === other.content && one.splits.join("\n") === other.splits.join("\n");
}

function sameValues(one: ReadonlyMap<string, ModelValue>, other: ReadonlyMap<string, ModelValue>): boolean {
  return (
    one.size === other.size &&
    [...one].every(([itemId, value]) => {
      const there = other.get(itemId);
      return there !== undefined && sameValue(value, there);
    })
  );
}
