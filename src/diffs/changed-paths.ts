import { equalSplits } from "../items/splits.ts";
import { canonicalize } from "../json/canonical-json.ts";
import { maxPathLength, spelledSegment } from "../json/json-path.ts";

/** What paths lead into: an item in one of the two states. Absent payloads are undefined. */
export interface ComparedItem {
  /** Undefined once the item was purged: then nobody knows what it held. */
  readonly input: string | undefined;
  readonly expectedOutput: string | undefined;
  readonly metadata: string | undefined;
  readonly splits: readonly string[];
  readonly contentHash: Uint8Array;
}

/** Paths of one update. More say less than their parents do. */
const maxPaths = 100;

/**
 * The JSON paths of what differs between two states of an item: `$.input.messages[2].role`. Values are equal exactly if they
 * hash alike, however they are spelled: 1.0 is 1, and the order of members does not matter. Arrays are compared place by
 * place. There are at most 100 paths of at most 1,000 characters: beyond that, common parents stand for them, those first
 * that stand for most.
 *
 * The content of a purged item is unknown: `$` stands for whatever differed.
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

/** Spells the path of a place. Most places do not differ, and their paths are never asked for. */
type PathOf = () => string;

/** The differences at and below a place. None if it is the same in both states. */
interface PathDifference {
  readonly path: string;
  readonly below: readonly string[];
}

function payloadPaths(before: string | undefined, after: string | undefined, path: string): PathDifference {
  if (before === undefined || after === undefined) return { path, below: before === after ? [] : [path] };
  return { path, below: new PayloadComparison(canonicalize(before), canonicalize(after)).paths(() => path) };
}

/**
 * All paths of the groups below a parent, in order. As long as there are too many, the largest group is left to its own path;
 * with too many groups, all are left to the parent.
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
 * Walks through two canonical texts side by side, each once and without building values. That members are in order in both
 * makes it as simple as merging two lists.
 */
class PayloadComparison {
  readonly #before: CanonicalReader;
  readonly #after: CanonicalReader;

  constructor(before: string, after: string) {
    this.#before = new CanonicalReader(before);
    this.#after = new CanonicalReader(after);
  }

  /** Reads a value in both texts, and gives the paths of what differs in it. */
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
        // The other array is read to its end; what this one has beyond it differs.
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
      // Canonical order is that of UTF-16 units, as `<` has it.
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

/** Collects the differences below one place, and no more of them than can be named. */
class Differences {
  readonly #path: PathOf;
  readonly #groups: PathDifference[] = [];
  #unnamed = false;

  constructor(path: PathOf) {
    this.#path = path;
  }

  /** Takes in what `read` finds below a member or element, whose path it is given. */
  add(to: string | number, read: (path: PathOf) => string[]): void {
    // Beyond that many they are left to this place, and need no path of their own.
    const crowded = this.#groups.length > maxPaths;
    const pathOf = crowded ? this.#path : () => this.#path() + spelledSegment(to);
    const below = read(pathOf);
    if (below.length === 0 || crowded) return;
    // What lies deeper has a longer path, and has left it to this place already.
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

  /** What begins here. */
  kind(): "object" | "array" | "scalar" {
    const first = this.#text[this.#at];
    return first === "{" ? "object" : first === "[" ? "array" : "scalar";
  }

  /** Reads the value that begins here and gives its text. */
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

  /** Goes to the element of an array behind the one that was read, or to its first; false at its end, which is read. */
  nextElement(index: number): boolean {
    return this.#next("]", index === 0);
  }

  /** Goes to the value of the next member of an object and gives the member's name; undefined at its end, which is read. */
  nextMember(first: boolean): string | undefined {
    if (!this.#next("}", first)) return undefined;
    const start = this.#at;
    this.#string();
    const name = JSON.parse(this.#text.slice(start, this.#at)) as string;
    this.#at++;
    return name;
  }

  /** Reads the bracket or comma in front of the next part. */
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
