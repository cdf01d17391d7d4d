import type { ErrorObject } from "ajv/dist/2020.js";
import type { JsonValue } from "../json/json-value.ts";
import type { Way } from "./schema-problem.ts";
import { isObject } from "./schema-tree.ts";

/** Why a value does not satisfy a schema. */
export interface SchemaViolation {
  /** Where in the value. */
  readonly way: Way;
  /** The keyword of the schema; `false` where the schema is just that, `steps` if checking would take too long. */
  readonly keyword: string;
  /** What, in words for people. */
  readonly problem: string;
}

/** Characters of a value that a problem quotes. */
const maxQuoted = 100;

/** Makes a violation of the errors that the validator found in a value: of many, the one that says most. */
export function violationOf(errors: readonly ErrorObject[], value: JsonValue): SchemaViolation {
  const error = decisive(errors);
  const way = wayOf(error.instancePath, value);
  const { additionalProperty, unevaluatedProperty } = error.params;
  const extra: string | undefined = additionalProperty ?? unevaluatedProperty;
  if (extra !== undefined) way.push(extra);
  const name = error.propertyName === undefined ? "" : `the name ${quoted(error.propertyName)} `;
  return {
    way,
    keyword: error.keyword === "false schema" ? "false" : error.keyword,
    problem: name + problemOf(error),
  };
}

/**
 * The error that says most. Errors within alternatives come before the error that no alternative fits, and mean nothing by
 * themselves.
 */
function decisive(errors: readonly ErrorObject[]): ErrorObject {
  let chosen = errors.at(-1) as ErrorObject;
  let covered: string | undefined;
  for (const error of errors.toReversed()) {
    if (covered !== undefined && error.instancePath.startsWith(covered)) continue;
    chosen = error;
    covered = error.keyword === "anyOf" || error.keyword === "oneOf" ? error.instancePath : undefined;
  }
  return chosen;
}

/** The steps of a JSON pointer (RFC 6901), which does not tell indexes from names: the value does. */
function wayOf(pointer: string, value: JsonValue): (string | number)[] {
  let at: JsonValue | undefined = value;
  return pointer
    .split("/")
    .slice(1)
    .map((escaped) => {
      const name = escaped.replaceAll("~1", "/").replaceAll("~0", "~");
      if (Array.isArray(at)) {
        at = at[Number(name)];
        return Number(name);
      }
      at = isObject(at) ? at[name] : undefined;
      return name;
    });
}

function problemOf({ keyword, schema: given, params }: ErrorObject): string {
  const schema = given as JsonValue;
  switch (keyword) {
    case "type":
      return `is not of type ${Array.isArray(schema) ? schema.join(" or ") : schema}`;
    case "enum":
      return `is none of ${quoted(schema)}`;
    case "const":
      return `is not ${quoted(schema)}`;
    case "required":
      return `lacks the member ${quoted(params.missingProperty)}`;
    case "dependentRequired":
      return `has ${quoted(params.property)} and lacks ${quoted(params.missingProperty)}`;
    case "pattern":
      return `does not match ${quoted(schema)}`;
    case "multipleOf":
      return `is not a multiple of ${schema}`;
    case "minimum":
      return `is less than ${schema}`;
    case "exclusiveMinimum":
      return `is not more than ${schema}`;
    case "maximum":
      return `is more than ${schema}`;
    case "exclusiveMaximum":
      return `is not less than ${schema}`;
    case "minLength":
      return `has less than ${schema} characters`;
    case "maxLength":
      return `has more than ${schema} characters`;
    case "minItems":
      return `has less than ${schema} elements`;
    case "maxItems":
      return `has more than ${schema} elements`;
    case "unevaluatedItems":
    case "items":
      return `has more than ${params.limit} elements`;
    case "uniqueItems":
      return "has elements that are equal";
    case "minProperties":
      return `has less than ${schema} members`;
    case "maxProperties":
      return `has more than ${schema} members`;
    case "additionalProperties":
    case "unevaluatedProperties":
    case "false schema":
      return "is not allowed";
    case "contains":
      return params.maxContains === undefined
        ? `has less than ${params.minContains} elements that the schema asks for`
        : `has less than ${params.minContains} or more than ${params.maxContains} elements that the schema asks for`;
    case "anyOf":
      return `satisfies none of the ${count(schema)} schemas of anyOf`;
    case "oneOf":
      return params.passingSchemas === null
        ? `satisfies none of the ${count(schema)} schemas of oneOf`
        : `satisfies more than one schema of oneOf`;
    case "not":
      return "satisfies the schema of not";
    default:
      return `violates ${keyword}`;
  }
}

const count = (schemas: JsonValue) => (Array.isArray(schemas) ? schemas.length : 0);

function quoted(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length > maxQuoted ? `${text.slice(0, maxQuoted)}…` : text;
}
