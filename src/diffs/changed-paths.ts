import { equalSplits } from "../items/splits.ts";
import { canonicalize } from "../json/canonical-json.ts";
import { maxPathLength, spelledSegment } from "../json/json-path.ts";

/** An item in one of the two compared states. Absent payloads are undefined. */
export interface ComparedItem {
  /** Undefined once the item was purged: its content is then unknown. */
  readonly input: string | undefined;
  readonly expectedOutput: string | undefined;
  readonly metadata: string | undefined;
  readonly splits: readonly string[];
  readonly contentHash: Uint8Array;
}

/** Maximum paths of one update. More of them would say less than their parents do. */
const maxPaths = 100;

/**
 * Returns the JSON paths at which two states of an item differ, such as `$.input.messages[2].role`. Values are equal exactly if
 * their hashes are, however they are spelled: 1.0 equals 1, and the order of members does not matter. Arrays are compared index
 * by index. Returns at most 100 paths of at most 1,000 characters: beyond that, paths are replaced by their common parents,
 * starting with the parents of most paths.
 *
 * The content of a purged item is unknown: `$` stands for all its differences.
 */
export function changedPaths(before: ComparedItem, after: ComparedItem): string[] {
  const sameContent = Buffer.compare(before.contentHash, after.contentHash) === 0;
  if (!sameContent && (before.input === undefined || after.input === undefined)) return ["$"];
  const groups = sameContent
    ? []
    : [
        payloadPaths(before.input, after.input, "$.input"),
        payloadPaths(before.expectedOutput, after.expectedOutput, "$.expected_output"),
        payloadPaths(before.metadata, after.metadata, "$.metadata"),
      ];
  if (!equalSplits(before.splits, after.splits)) groups.push({ path: "$.splits", below: ["$.splits"] });
  return bounded(() => "$", groups);
}

/** Spells the path of a value. A function because most values do not differ, so their paths are never needed. */
type PathOf = () => string;

/** The differences at and below a path; none if its value is equal in both states. */
interface PathDifference {
  readonly path: string;
  readonly below: readonly string[];
}

function payloadPaths(before: string | undefined, after: string | undefined, path: string): PathDifference {
  if (before === undefined || after === undefined) return { path, below: before === after ? [] : [path] };
  return { path, below: new PayloadComparison(canonicalize(before), canonicalize(after)).paths(() => path) };
}

/**
 * Returns all paths of the groups below a parent, in order. While there are too many, the largest group is replaced by its own
 * path; if there are too many groups, all are replaced by the parent.
 */
function bounded(parent: PathOf, groups: readonly PathDifference[]): string[] {
  const differing = groups.filter(({ below }) => below.length > 0);
  if (differing.length > maxPaths) return [parent()];
  let count = differing.reduce((sum, { below }) => sum + below.length, 0);
  const collapsed = new Set<PathDifference>();
  for (const group of differing.toSorted((one, other) => other.below.length - one.below.length)) {
    if (count <= maxPaths) break;
    collapsed.add(group);
    count -= group.below.length - 1;
  }
  return differing.flatMap((group) => (collapsed.has(group) ? [group.path] : group.below));
}

/**
 * Walks through two canonical texts side by side, each once and without building values. Members are sorted in both, so this
 * is a merge of two sorted lists.
 */
class PayloadComparison {
  readonly #before: CanonicalReader;
  readonly #after: CanonicalReader;

  constructor(before: string, after: string) {
    this.#before = new CanonicalReader(before);
    this.#after = new CanonicalReader(after);
  }

  /** Reads a value in both texts, and returns the paths at which it differs. */
  paths(path: PathOf): string[] {
    const kind = this.#before.kind();
    if (kind !== this.#after.kind() || kind === "scalar") {
      return this.#before.value() === this.#after.value() ? [] : [path()];
    }
    return kind === "array" ? this.#elements(path) : this.#members(path);
  }

  #elements(path: PathOf): string[] {
    const found = new Differences(path);
    let index = 0;
    for (; this.#before.nextElement(index); index++) {
      if (!this.#after.nextElement(index)) {
        // The other array ends here; all further elements of this one differ.
        do {
          this.#before.value();
          found.add(index++, (below) => [below()]);
        } while (this.#before.nextElement(index));
        return found.paths();
      }
      found.add(index, (below) => this.paths(below));
    }
    for (; this.#after.nextElement(index); index++) {
      this.#after.value();
      found.add(index, (below) => [below()]);
    }
    return found.paths();
  }

  #members(path: PathOf): string[] {
    const found = new Differences(path);
    let first = true;
    let before = this.#before.nextMember(first);
    let after = this.#after.nextMember(first);
    first = false;
    while (before !== undefined || after !== undefined) {
      // Canonical order is by UTF-16 code units, as is that of `<`.
      if (after === undefined || (before !== undefined && before < after)) {
        this.#before.value();
        found.add(before as string, (below) => [below()]);
        before = this.#before.nextMember(first);
      } else if (before === undefined || after < before) {
        this.#after.value();
        found.add(after, (below) => [below()]);
        after = this.#after.nextMember(first);
      } else {
        found.add(before, (below) => this.paths(below));
        before = this.#before.nextMember(first);
        after = this.#after.nextMember(first);
      }
    }
    return found.paths();
  }
}

/** Collects the differences below one path, at most as many as can be listed. */
class Differences {
  readonly #path: PathOf;
  readonly #groups: PathDifference[] = [];
  #unnamed = false;

  constructor(path: PathOf) {
    this.#path = path;
  }

  /** Adds the differences that `read` returns for a member or element, whose path it receives. */
  add(to: string | number, read: (path: PathOf) => string[]): void {
    // Beyond that limit this path stands for them, so they need no paths of their own.
    const crowded = this.#groups.length > maxPaths;
    const pathOf = crowded ? this.#path : () => this.#path() + spelledSegment(to);
    const below = read(pathOf);
    if (below.length === 0 || crowded) return;
    // Deeper values have longer paths, and have been replaced by this one already.
    const path = pathOf();
    if (path.length > maxPathLength) this.#unnamed = true;
    else this.#groups.push({ path, below });
  }

  paths(): string[] {
    return this.#unnamed ? [this.#path()] : bounded(this.#path, this.#groups);
  }
}

/** Reads canonical JSON (RFC 8785): valid, without white space, members in order. */
class CanonicalReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Returns the kind of the value that begins here. */
  kind(): "object" | "array" | "scalar" {
    const first = this.#text[this.#at];
    return first === "{" ? "object" : first === "[" ? "array" : "scalar";
  }

  /** Reads the value that begins here and returns its text. */
  value(): string {
    const start = this.#at;
    let depth = 0;
    do {
      const character = this.#text[this.#at];
      if (character === '"') this.#string();
      else {
        if (character === "{" || character === "[") depth++;
        else if (character === "}" || character === "]") depth--;
        this.#at++;
        if (depth === 0 && character !== "}" && character !== "]") this.#scalar();
      }
    } while (depth > 0);
    return this.#text.slice(start, this.#at);
  }

  /** Moves to the first or next element of an array. Returns false at the end of the array, which is then read. */
  nextElement(index: number): boolean {
    return this.#next("]", index === 0);
  }

  /** Moves to the next member's value and returns the member's name; undefined at the end of the object, which is then read. */
  nextMember(first: boolean): string | undefined {
    if (!this.#next("}", first)) return undefined;
    const start = this.#at;
    this.#string();
    const name = JSON.parse(this.#text.slice(start, this.#at)) as string;
    this.#at++;
    return name;
  }

  /** Reads the bracket or comma before the next element or member. */
  #next(close: string, first: boolean): boolean {
    if (first) this.#at++;
    if (this.#text[this.#at] === close) {
      this.#at++;
      return false;
    }
    if (!first) this.#at++;
    return true;
  }

  #string(): void {
    const text = this.#text;
    let end = this.#at;
    let first: number;
    do {
      end = text.indexOf('"', end + 1);
      first = end;
      while (text[first - 1] === "\\") first--;
      // An odd number of backslashes means that the quote is escaped.
    } while ((end - first) % 2 === 1);
    this.#at = end + 1;
  }

  /** Reads the rest of a number or a word. */
  #scalar(): void {
    for (let next = this.#text[this.#at]; next !== undefined && !",]}".includes(next); ) {
      next = this.#text[++this.#at];
    }
  }
}
