import { jsonPath } from "../json/json-path.ts";

/** The steps from the root of a JSON value to a place in it: names of members and indexes of elements. */
export type Way = readonly (string | number)[];

/** Maximum length of a path in characters: the problem must fit after it into the texts that errors carry. */
const maxPlaceLength = 250;

/** The reason why a text cannot be used as a schema of items. */
export class SchemaProblem extends Error {
  override readonly name = "SchemaProblem";

  /** `place` is a JSON path, or the steps of one. */
  constructor(place: string | Way, problem: string) {
    const path = typeof place === "string" ? place : jsonPath("$", place);
    super(`${path.length > maxPlaceLength ? `${path.slice(0, maxPlaceLength)}…` : path}: ${problem}`);
  }
}
