import { compareStrings, stringAt } from "./json-bytes.ts";

/**
 * Up to this many members are sorted by insertion, comparing bytes in place. More are decoded for the engine's sort,
 * which is faster from about 200 on. With a much lower limit, decoding takes most of the time; with a much higher one,
 * the quadratic sort does.
 */
const fewMembers = 100;

/** The members of all objects that are being read, numbered from the outermost object's to the innermost one's. */
export class MemberStack {
  /** For each member: the position of its name in the text, and its start in the output. */
  #places = new Int32Array(256);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  push(name: number, start: number): void {
    const entry = 2 * this.#count++;
    if (entry === this.#places.length) {
      const places = new Int32Array(2 * entry);
      places.set(this.#places);
      this.#places = places;
    }
    this.#places[entry] = name;
    this.#places[entry + 1] = start;
  }

  /** Forgets all members but the first `count`. */
  truncate(count: number): void {
    this.#count = count;
  }

  nameOf(member: number): number {
    return this.#places[2 * member] as number;
  }

  startOf(member: number): number {
    return this.#places[2 * member + 1] as number;
  }

  /**
   * Returns the numbers from `first` on, sorted by the UTF-16 units of the names, which are in `text`. `escaped` says
   * whether some contain escapes. Calls `failDuplicate` if two are equal.
   */
  order(text: Buffer, first: number, escaped: boolean, failDuplicate: (name: string) => never): number[] {
    return escaped || this.#count - first > fewMembers
      ? this.#orderDecoded(text, first, failDuplicate)
      : this.#orderInPlace(text, first, failDuplicate);
  }

  #orderInPlace(text: Buffer, first: number, failDuplicate: (name: string) => never): number[] {
    const order: number[] = [];
    for (let member = first; member < this.#count; member++) {
      const name = this.nameOf(member);
      let place = order.length;
      for (; place > 0; place--) {
        const before = order[place - 1] as number;
        const difference = compareStrings(text, this.nameOf(before), name);
        if (difference === 0) failDuplicate(stringAt(text, name));
        if (difference < 0) break;
        order[place] = before;
      }
      order[place] = member;
    }
    return order;
  }

  #orderDecoded(text: Buffer, first: number, failDuplicate: (name: string) => never): number[] {
    const named: { name: string; member: number }[] = [];
    for (let member = first; member < this.#count; member++) {
      named.push({ name: stringAt(text, this.nameOf(member)), member });
    }
    named.sort((one, other) => {
      // Every sort algorithm compares the elements that end up as neighbours.
      if (one.name === other.name) failDuplicate(one.name);
      return one.name < other.name ? -1 : 1;
    });
    return named.map(({ member }) => member);
  }
}
