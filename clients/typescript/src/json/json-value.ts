import { losesDigits } from "./integer-digits.ts";
import { JsonProblem } from "./json-problem.ts";

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** How deep arrays and objects may nest, by the contract. */
export const maxDepth = 128;

/**
 * Returns a value as plain JSON data, and refuses values that JSON.stringify would silently lose:
 *
 * - members that are undefined are left out, as JSON.stringify does; elements that are undefined, functions and symbols are
 *   refused;
 * - an object with a `toJSON` method is replaced by the result of the method, so a Date becomes an ISO string; an invalid Date
 *   is refused;
 * - any other object must be plain: a Map, a Promise or a Uint8Array is refused rather than turned into `{}`;
 * - a bigint becomes a number if no digit is lost, else it is refused;
 * - NaN, the infinities, lone surrogates, cycles, and more than 128 levels are refused.
 *
 * The value is not changed; the result shares the parts of it that are plain already.
 *
 * @throws JsonProblem with a path that starts with `root`
 */
export function plainJson(value: unknown, root: string): Json {
  return new Visit(root).value(value, "");
}

/** One traversal of a value, with its current path. */
class Visit {
  readonly #root: string;
  readonly #segments: (string | number)[] = [];
  readonly #ancestors: object[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  value(value: unknown, key: string): Json {
    switch (typeof value) {
      case "string":
        return value.isWellFormed() ? value : this.#fail("lone surrogate");
      case "number":
        return this.#number(value);
      case "boolean":
        return value;
      case "bigint": {
        const number = Number(value);
        return Number.isFinite(number) && !losesDigits(String(value), number)
          ? number
          : this.#fail("integer that loses digits as a double; send it as a string");
      }
      case "object":
        return value === null ? null : this.#object(value, key);
      default:
        return this.#fail(`${value === undefined ? "undefined" : `a ${typeof value}`} is not JSON`);
    }
  }

  #number(value: number): number {
    if (!Number.isFinite(value)) this.#fail(`${value} is not JSON`);
    return value;
  }

  #object(object: object, key: string): Json {
    if ("toJSON" in object && typeof object.toJSON === "function") {
      if (object instanceof Date && Number.isNaN(object.getTime())) this.#fail("an invalid Date is not JSON");
      const stand: unknown = object.toJSON(key);
      // JSON.stringify does not call toJSON again on the result of toJSON.
      if (stand === object) this.#fail("toJSON returns the object itself");
      return this.value(stand, key);
    }
    if (this.#ancestors.includes(object)) this.#fail("circular reference");
    if (this.#ancestors.length === maxDepth) this.#fail(`more than ${maxDepth} levels`);
    this.#ancestors.push(object);
    const plain = Array.isArray(object) ? this.#array(object) : this.#members(object);
    this.#ancestors.pop();
    return plain;
  }

  #array(array: readonly unknown[]): Json {
    let copy: Json[] | undefined;
    for (let index = 0; index < array.length; index++) {
      const element = array[index];
      this.#segments.push(index);
      const plain = this.value(element, String(index));
      this.#segments.pop();
      if (plain !== element) copy ??= array.slice(0, index) as Json[];
      copy?.push(plain);
    }
    return copy ?? (array as Json);
  }

  #members(object: object): Json {
    if (!isPlain(object)) this.#fail(`${describe(object)} is not JSON; convert it to plain values`);
    const members = object as Readonly<Record<string, unknown>>;
    const names = Object.keys(members);
    const values: Json[] = [];
    let changed = false;
    for (const name of names) {
      if (!name.isWellFormed()) this.#fail("lone surrogate in the name of a member");
      const member = members[name];
      this.#segments.push(name);
      const plain = member === undefined ? undefined : this.value(member, name);
      this.#segments.pop();
      if (plain !== member || plain === undefined) changed = true;
      values.push(plain as Json);
    }
    if (!changed) return members as Json;
    // Without a prototype, `__proto__` is a name like any other.
    const copy: Record<string, Json> = Object.create(null);
    for (const [position, name] of names.entries()) {
      const plain = values[position];
      if (plain !== undefined) copy[name] = plain;
    }
    return copy;
  }

  #fail(problem: string): never {
    throw new JsonProblem(this.#root, this.#segments, problem);
  }
}

/** Whether an object was made by a literal, by JSON.parse or by Object.create(null), in this realm or another. */
function isPlain(object: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(object);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function describe(object: object): string {
  const name = object.constructor?.name;
  return name ? `an object of class ${name}` : "an object with a prototype";
}
