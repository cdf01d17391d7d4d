import type { JsonObject, JsonValue } from "../json/json-value.ts";
import type { PathSegments } from "./schema-problem.ts";

/** A schema within a schema, and the path to it. */
export interface Subschema {
  readonly schema: JsonValue;
  readonly segments: PathSegments;
  /** Whether it applies to the same value as the schema around it. */
  readonly inPlace: boolean;
}

const single = {
  not: true,
  if: true,
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: true,
  else: true,
  items: false,
  contains: false,
  additionalProperties: false,
  propertyNames: false,
  unevaluatedItems: false,
  unevaluatedProperties: false,
} as const;
const lists = { allOf: true, anyOf: true, oneOf: true, prefixItems: false } as const;
const maps = { dependentSchemas: true, properties: false, patternProperties: false } as const;

/** Keywords that hold schemas for references to point to, and apply none of them. */
const shelves = ["$defs", "definitions"];

/** Keywords whose value is a schema, a list of schemas, or schemas by name, each with whether they apply to the same value. */
export const applicators = { single, lists, maps };

/** Keywords that constrain a value and hold no schemas. */
export const assertions = [
  "type",
  "enum",
  "const",
  "multipleOf",
  "maximum",
  "exclusiveMaximum",
  "minimum",
  "exclusiveMinimum",
  "maxLength",
  "minLength",
  "pattern",
  "maxItems",
  "minItems",
  "uniqueItems",
  "maxContains",
  "minContains",
  "maxProperties",
  "minProperties",
  "required",
  "dependentRequired",
] as const;

/** Whether a value is an object with members. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns a member of the object itself: `constructor` and the like are found only if the text has them. */
export function member(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Returns the schemas right below a schema, those in `$defs` and `definitions` included. */
export function subschemas(schema: JsonObject, segments: PathSegments): Subschema[] {
  const found: Subschema[] = [];
  for (const [keyword, inPlace] of Object.entries(single)) {
    const one = member(schema, keyword);
    if (one !== undefined) found.push({ schema: one, segments: [...segments, keyword], inPlace });
  }
  for (const [keyword, inPlace] of Object.entries(lists)) {
    const list = member(schema, keyword);
    if (!Array.isArray(list)) continue;
    for (const [index, one] of list.entries()) {
      found.push({ schema: one, segments: [...segments, keyword, index], inPlace });
    }
  }
  for (const [keyword, inPlace] of [
    ...Object.entries(maps),
    ...shelves.map((name) => [name, false] as const),
  ]) {
    const map = member(schema, keyword);
    if (!isObject(map)) continue;
    for (const [name, one] of Object.entries(map)) {
      found.push({ schema: one, segments: [...segments, keyword, name], inPlace });
    }
  }
  return found;
}
