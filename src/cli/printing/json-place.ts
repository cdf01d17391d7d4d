import type { Item } from "../../../clients/typescript/src/contract.ts";
import { parseJson } from "../../../clients/typescript/src/node.ts";

/** The parts of an item, as paths of the contract see it: `$.input.messages[2]`. */
export function partsOf(
  item: Pick<Item, "inputJson" | "expectedOutputJson" | "metadataJson" | "splits"> | undefined,
): unknown {
  if (item === undefined) return undefined;
  const { inputJson, expectedOutputJson, metadataJson, splits } = item;
  return {
    ...(inputJson && { input: parseJson(inputJson) }),
    ...(expectedOutputJson && { expected_output: parseJson(expectedOutputJson) }),
    ...(metadataJson && { metadata: parseJson(metadataJson) }),
    splits,
  };
}

const step = /\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]/gy;

/** The steps of a path: names and positions. Undefined for a path that is cut off within a step. */
export function stepsOf(path: string): (string | number)[] | undefined {
  const steps: (string | number)[] = [];
  step.lastIndex = 1;
  while (step.lastIndex < path.length) {
    const match = step.exec(path);
    if (match === null) return undefined;
    const [, name, position, quoted] = match;
    steps.push(name ?? (position === undefined ? unescaped(quoted ?? "") : Number(position)));
  }
  return steps;
}

/** What a quoted name of a path means: `\'` and `\\` are themselves, all else is escaped as in JSON. */
function unescaped(name: string): string {
  return name.replace(/\\(u[0-9a-fA-F]{4}|.)/gu, (_, escaped: string) =>
    escaped === "'" ? "'" : (JSON.parse(`"\\${escaped}"`) as string),
  );
}

/** The value at a path; undefined where there is none. */
export function valueAt(parts: unknown, path: string): unknown {
  const steps = stepsOf(path);
  if (steps === undefined) return undefined;
  let value = parts;
  for (const one of steps) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, one)) return undefined;
    value = (value as Readonly<Record<string | number, unknown>>)[one];
  }
  return value;
}
