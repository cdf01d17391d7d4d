import { type Failure, failure } from "../failure.ts";

/** The place of a problem in a file. Rows count from 1 without the header, and lines from 1 with it. */
export interface FilePosition {
  readonly row?: number;
  readonly line?: number;
  readonly column?: string;
}

/** Makes the failure of a file whose columns are not mapped to the parts of items. Carries their names. */
export function notMapped(problem: string, place: FilePosition, names: readonly string[]): Failure {
  // A few names tell a layout; the bound keeps errors small.
  return invalidFile(problem, place, { columns: JSON.stringify(names.slice(0, 20).filter(isShort)) });
}

const isShort = (name: string) => name.length <= 40;

/**
 * Makes the failure of a file that is not valid in its format. `problem` continues a sentence about the place: `is not
 * UTF-8`.
 */
export function invalidFile(
  problem: string,
  { row, line, column }: FilePosition = {},
  more: { readonly columns?: string } = {},
): Failure {
  return failure("INVALID_FILE", {
    ...(row === undefined ? {} : { row }),
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
    problem,
    ...more,
  });
}
