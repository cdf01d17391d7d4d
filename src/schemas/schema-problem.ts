import { jsonPath } from "../json/json-path.ts";

/** The segments of the path from the root of a JSON value to a location in it: names of members and indexes of elements. */
export type PathSegments = readonly (string | number)[];

/** Maximum length of a path in characters: the problem must fit after it into the texts that errors carry. */
const maxLocationLength = 250;

/** The reason why a text cannot be used as a schema of items. */
export class SchemaProblem extends Error {
  override readonly name = "SchemaProblem";

  /** `location` is a JSON path, or the segments of one. */
  constructor(location: string | PathSegments, problem: string) {
    const path = typeof location === "string" ? location : jsonPath("$", location);
    super(`${path.length > maxLocationLength ? `${path.slice(0, maxLocationLength)}…` : path}: ${problem}`);
  }
}
