import { type Failure, failure } from "../failure.ts";

/** Where in a file something is wrong. Rows count from 1 without the header, and so do lines with it. */
export interface FilePosition {
  readonly row?: number;
  readonly line?: number;
  readonly column?: string;
}

/** The failure of a file that cannot be read as what it should be. `problem` goes on where the place ends: `is not UTF-8`. */
export function invalidFile(problem: string, { row, line, column }: FilePosition = {}): Failure {
  return failure("INVALID_FILE", {
    ...(row === undefined ? {} : { row }),
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
    problem,
  });
}
