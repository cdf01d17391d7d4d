import type { JsonObject, JsonValue } from "../json/json-value.ts";
import { type PathSegments, SchemaProblem } from "./schema-problem.ts";
import { isObject, member, subschemas } from "./schema-tree.ts";

/** A schema as references find it. Schemas `true` and `false` are wrapped, so that each location is an object of its own. */
export interface SchemaLocation {
  readonly schema: JsonValue;
  readonly segments: PathSegments;
  /** The URI that its references are relative to. */
  readonly base: string;
}

/** Stands for the URI of a schema that has none. */
const unnamed = "schema:///";

/**
 * Knows every schema within a schema, and the targets of references between them (JSON Schema Core, sections 8 and 9).
 * Never reads anything outside the text.
 */
export class References {
  /** By the schema itself, for those that are objects. */
  readonly #locations = new Map<JsonObject, SchemaLocation>();
  /** Schemas with a URI of their own: the root, and those with `$id`. */
  readonly #resources = new Map<string, SchemaLocation>();
  /** By URI with fragment. */
  readonly #anchors = new Map<string, SchemaLocation>();
  readonly #dynamicNames = new Map<string, number>();
  readonly root: SchemaLocation;
  /** Schemas found by pointers into places where no keyword puts schemas. */
  readonly hidden: SchemaLocation[] = [];

  /** @throws SchemaProblem for a malformed URI, or one that two schemas share. */
  constructor(root: JsonValue) {
    this.root = this.#add(root, [], unnamed);
    this.#resources.set(unnamed, this.root);
  }

  /** The number of schemas that are objects. */
  get count(): number {
    return this.#locations.size;
  }

  /** All schemas that are objects. */
  locations(): Iterable<SchemaLocation> {
    return this.#locations.values();
  }

  /** Returns the target of `$ref` or `$dynamicRef` of a schema. @throws SchemaProblem */
  resolve(location: SchemaLocation, keyword: "$ref" | "$dynamicRef", reference: string): SchemaLocation {
    const fail = (problem: string): never => {
      throw new SchemaProblem([...location.segments, keyword], problem);
    };
    const uri =
      absolute(reference, location.base) ?? fail(`${JSON.stringify(reference)} is not a URI reference`);
    const hash = uri.indexOf("#");
    const fragment = hash < 0 ? "" : decoded(uri.slice(hash + 1));
    if (fragment === undefined) return fail("the fragment is not well-formed");
    const resource = this.#resources.get(hash < 0 ? uri : uri.slice(0, hash));
    if (resource === undefined) {
      return fail(`${JSON.stringify(reference)} is outside the schema, and no other schema is ever loaded`);
    }
    if (fragment === "") return resource;
    if (fragment.startsWith("/")) {
      return this.#walk(resource, fragment) ?? fail(`no schema at ${JSON.stringify(reference)}`);
    }
    if (keyword === "$dynamicRef" && (this.#dynamicNames.get(fragment) ?? 0) > 1) {
      return fail(`two schemas with the $dynamicAnchor ${JSON.stringify(fragment)} are not supported`);
    }
    const anchor = this.#anchors.get(`${resource.base}#${fragment}`);
    return anchor ?? fail(`no anchor ${JSON.stringify(fragment)}`);
  }

  /** Adds a schema and all below it. */
  #add(schema: JsonValue, segments: PathSegments, outerBase: string): SchemaLocation {
    if (!isObject(schema)) return { schema, segments, base: outerBase };
    const known = this.#locations.get(schema);
    if (known !== undefined) return known;
    const base = this.#baseOf(schema, segments, outerBase);
    const location: SchemaLocation = { schema, segments, base };
    this.#locations.set(schema, location);
    if (base !== outerBase) this.#set(this.#resources, base, location, [...segments, "$id"]);
    for (const keyword of ["$anchor", "$dynamicAnchor"] as const) {
      const name = member(schema, keyword);
      if (typeof name !== "string") continue;
      this.#set(this.#anchors, `${base}#${name}`, location, [...segments, keyword]);
      if (keyword === "$dynamicAnchor") {
        this.#dynamicNames.set(name, (this.#dynamicNames.get(name) ?? 0) + 1);
      }
    }
    for (const below of subschemas(schema, segments)) this.#add(below.schema, below.segments, base);
    return location;
  }

  #baseOf(schema: JsonObject, segments: PathSegments, outerBase: string): string {
    const id = member(schema, "$id");
    if (typeof id !== "string") return outerBase;
    const uri = absolute(id, outerBase);
    if (uri === undefined) throw new SchemaProblem([...segments, "$id"], "is not a URI reference");
    return uri.replace(/#$/, "");
  }

  #set(
    map: Map<string, SchemaLocation>,
    key: string,
    location: SchemaLocation,
    segments: PathSegments,
  ): void {
    const other = map.get(key);
    if (other !== undefined && other !== location)
      throw new SchemaProblem(segments, "is also that of another schema");
    map.set(key, location);
  }

  /** Follows a JSON pointer (RFC 6901), also into places where no keyword puts schemas. */
  #walk(from: SchemaLocation, pointer: string): SchemaLocation | undefined {
    let value: JsonValue | undefined = from.schema;
    let { base } = from;
    const segments = [...from.segments];
    for (const escaped of pointer.slice(1).split("/")) {
      const segment = escaped.replaceAll("~1", "/").replaceAll("~0", "~");
      if (isObject(value)) {
        base = this.#locations.get(value)?.base ?? base;
        value = member(value, segment);
        segments.push(segment);
      } else if (Array.isArray(value) && /^(0|[1-9]\d*)$/.test(segment)) {
        value = value[Number(segment)];
        segments.push(Number(segment));
      } else {
        return undefined;
      }
    }
    if (typeof value !== "boolean" && !isObject(value)) return undefined;
    const isKnown = !isObject(value) || this.#locations.has(value);
    const location = this.#add(value, segments, base);
    if (!isKnown) this.hidden.push(location);
    return location;
  }
}

function absolute(reference: string, base: string): string | undefined {
  return URL.canParse(reference, base) ? new URL(reference, base).href : undefined;
}

function decoded(fragment: string): string | undefined {
  try {
    return decodeURIComponent(fragment);
  } catch {
    // A percent sign that is not followed by UTF-8 in hexadecimal.
    return undefined;
  }
}
