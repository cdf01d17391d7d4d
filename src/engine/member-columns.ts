import type { JsonValue } from "../json/json-value.ts";

/** A member of objects that is a column as well. */
export interface MemberColumn {
  readonly name: string;
  /** The SQL type: `BIGINT`, `STRUCT("a" VARCHAR)[]`. */
  readonly type: string;
  /** The same, in the form of `json_transform`. */
  readonly structure: JsonValue;
}

/**
 * Objects with more different members than this get no columns: they are maps, and a table with a column per key is of
 * no use.
 */
const maxMemberColumns = 1_000;

/** The same for objects within members, which become structs. */
const maxStructMembers = 100;

/** Types that hold every number of the kind. Integers beyond 64 bits come here as DOUBLE, see `findMembers`. */
const scalarTypes: Readonly<Record<string, string>> = {
  BOOLEAN: "BOOLEAN",
  VARCHAR: "VARCHAR",
  UBIGINT: "BIGINT",
  BIGINT: "BIGINT",
  HUGEINT: "BIGINT",
  DOUBLE: "DOUBLE",
};

/** The known structure of the values in one place. */
type Shape =
  /** Nothing but null. */
  | { readonly kind: "nothing" }
  | { readonly kind: "scalar"; readonly type: string }
  | { readonly kind: "list"; readonly items: Shape }
  | { readonly kind: "object"; readonly members: ReadonlyMap<string, Shape> }
  /** Values that fit no type but JSON. */
  | { readonly kind: "mixed" };

const nothing: Shape = { kind: "nothing" };
const mixed: Shape = { kind: "mixed" };

/** Finds the columns of objects from the structure of each, as `json_structure` returns it. */
export class MemberColumns {
  #shape: Shape = nothing;

  /** Takes the structure of another object into account. */
  add(structure: JsonValue): void {
    const shape = shapeOf(structure);
    // Null says nothing about the type of a member, but it is not an object.
    this.#shape = shape.kind === "object" ? merged(this.#shape, shape) : mixed;
  }

  /**
   * Returns the columns, in the order in which their members first came up; none unless all values were objects.
   *
   * @param taken Names of columns that the table has already.
   */
  columns(taken: readonly string[]): MemberColumn[] {
    if (this.#shape.kind !== "object" || this.#shape.members.size > maxMemberColumns) return [];
    const names = [...this.#shape.members.keys()];
    const uses = Map.groupBy([...names, ...taken], folded);
    return [...this.#shape.members].flatMap(([name, shape]) =>
      isColumnName(name) && uses.get(folded(name))?.length === 1
        ? [{ name, type: typeOf(shape), structure: structureOf(shape) }]
        : [],
    );
  }
}

/** The engine compares names without regard to the case of ASCII letters. */
function folded(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** SQL cannot spell other names. */
function isColumnName(name: string): boolean {
  return name !== "" && !name.includes("\0");
}

function shapeOf(structure: JsonValue): Shape {
  if (Array.isArray(structure)) return { kind: "list", items: shapeOf(structure[0] ?? "NULL") };
  if (typeof structure === "object" && structure !== null) {
    return {
      kind: "object",
      members: new Map(Object.entries(structure).map(([name, value]) => [name, shapeOf(value)])),
    };
  }
  if (structure === "NULL") return nothing;
  const type = scalarTypes[String(structure)];
  return type === undefined ? mixed : { kind: "scalar", type };
}

function merged(one: Shape, other: Shape): Shape {
  if (one.kind === "nothing") return other;
  if (other.kind === "nothing") return one;
  if (one.kind === "scalar" && other.kind === "scalar") return mergedScalars(one, other);
  if (one.kind === "list" && other.kind === "list") {
    const items = merged(one.items, other.items);
    return items === one.items ? one : { kind: "list", items };
  }
  if (one.kind === "object" && other.kind === "object") return mergedObjects(one.members, other.members);
  return mixed;
}

function mergedScalars(one: Shape & { kind: "scalar" }, other: Shape & { kind: "scalar" }): Shape {
  if (one.type === other.type) return one;
  const numbers = ["BIGINT", "DOUBLE"];
  // Every integer of I-JSON is a double.
  return numbers.includes(one.type) && numbers.includes(other.type)
    ? { kind: "scalar", type: "DOUBLE" }
    : mixed;
}

function mergedObjects(one: ReadonlyMap<string, Shape>, other: ReadonlyMap<string, Shape>): Shape {
  const members = new Map(one);
  for (const [name, shape] of other) members.set(name, merged(members.get(name) ?? nothing, shape));
  // Too many already for any columns, however many more there are.
  return members.size > 10 * maxMemberColumns ? mixed : { kind: "object", members };
}

function typeOf(shape: Shape): string {
  if (shape.kind === "scalar") return shape.type;
  if (shape.kind === "list") return `${typeOf(shape.items)}[]`;
  if (shape.kind !== "object" || !isStruct(shape.members)) return "JSON";
  const members = [...shape.members].map(([name, one]) => `"${name.replaceAll('"', '""')}" ${typeOf(one)}`);
  return `STRUCT(${members.join(", ")})`;
}

function structureOf(shape: Shape): JsonValue {
  if (shape.kind === "list") return [structureOf(shape.items)];
  if (shape.kind !== "object" || !isStruct(shape.members)) return typeOf(shape);
  return Object.fromEntries([...shape.members].map(([name, one]) => [name, structureOf(one)]));
}

/** Whether objects with these members can be structs: all have valid, distinct names, and not too many. */
function isStruct(members: ReadonlyMap<string, Shape>): boolean {
  const names = [...members.keys()];
  return (
    names.length > 0 &&
    names.length <= maxStructMembers &&
    new Set(names.map(folded)).size === names.length &&
    // The engine's driver loses a member of this name.
    names.every((name) => isColumnName(name) && name !== "__proto__")
  );
}
