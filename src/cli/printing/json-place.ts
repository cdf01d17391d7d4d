import type { Item } from "../../../clients/typescript/src/contract.ts";
import { parseJson } from "../../../clients/typescript/src/node.ts";

/** Returns the parts of an item as one value, which paths of the contract such as `$.input.messages[2]` lead into. */
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

const segment = /\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]/gy;

/** Returns the segments of a path, names and positions; undefined for a path that is cut off within a segment. */
export function segmentsOf(path: string): (string | number)[] | undefined {
  const segments: (string | number)[] = [];
  segment.lastIndex = 1;
  while (segment.lastIndex < path.length) {
    const match = segment.exec(path);
    if (match === null) return undefined;
    const [, name, position, quoted] = match;
    segments.push(name ?? (position === undefined ? unescaped(quoted ?? "") : Number(position)));
  }
  return segments;
}

/** Unescapes a quoted name of a path: `\'` is a quote, and all else is escaped as in JSON. */
function unescaped(name: string): string {
  return name.replace(/\\(u[0-9a-fA-F]{4}|.)/gu, (_, escaped: string) =>
    escaped === "'" ? "'" : (JSON.parse(`"\\${escaped}"`) as string),
  );
}

/** Returns the value at a path; undefined where there is none. */
export function valueAt(parts: unknown, path: string): unknown {
  const segments = segmentsOf(path);
  if (segments === undefined) return undefined;
  let value = parts;
  for (const one of segments) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, one)) return undefined;
    value = (value as Readonly<Record<string | number, unknown>>)[one];
  }
  return value;
}
