/** Longest path of a problem, in characters. Errors travel in HTTP headers, of which many stacks accept 8 KiB in all. */
const maxPathLength = 1000;

/** Why a JSON text is refused. */
export class JsonProblem extends Error {
  override readonly name = "JsonProblem";
  /**
   * Where: the root that the reader was told, then steps in the manner of RFC 9535 such as `.messages`, `[2]` and
   * `['top-k']`. It names the innermost value that had begun; for faults of member names, the object. Steps that would
   * make it longer than 1,000 characters are left off, so that a parent stands for what is that deep.
   */
  readonly path: string;
  /** What, in words for people. Positions count UTF-16 units from the start of the text. */
  readonly problem: string;

  /** `steps` lead from the root to the place: names of members and indexes of elements. */
  constructor(root: string, steps: readonly (string | number)[], problem: string) {
    const path = jsonPath(root, steps);
    super(`${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}

/** The path to a place, of at most 1,000 characters: steps beyond that are left off. */
export function jsonPath(root: string, steps: Iterable<string | number>): string {
  let path = root;
  for (const step of steps) {
    const longer = path + (typeof step === "number" ? `[${step}]` : memberStep(step));
    if (longer.length > maxPathLength) break;
    path = longer;
  }
  return path;
}

/** The short form where RFC 9535 has one for ASCII names, else the form that its normalized paths have. */
function memberStep(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `.${name}`;
  const escaped = name
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "\\'")
    // Control characters.
    .replace(/[^ -\uffff]/g, (character) => JSON.stringify(character).slice(1, -1));
  return `['${escaped}']`;
}
