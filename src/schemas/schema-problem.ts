import { jsonPath } from "../json/json-path.ts";

/** The steps from the root of a JSON value to a place in it: names of members and indexes of elements. */
export type Way = readonly (string | number)[];

/** Characters of a place: what is wrong there has to fit behind it into the texts that errors carry. */
const maxPlaceLength = 250;

/** Why a text is not a schema that items can be held to. */
export class SchemaProblem extends Error {
  override readonly name = "SchemaProblem";

  /** `place` is a JSON path, or the steps of one. */
  constructor(place: string | Way, problem: string) {
    const path = typeof place === "string" ? place : jsonPath("$", place);
    super(`${path.length > maxPlaceLength ? `${path.slice(0, maxPlaceLength)}…` : path}: ${problem}`);
  }
}
