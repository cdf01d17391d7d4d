/**
 * The service spells paths in the same way, in its src/json/json-path.ts. Client and service are packages of their own, so each
 * has its own copy; test/json/json-path.test.ts compares them.
 */

/** The longest path in an error, in characters. */
const maxPathLength = 1000;

/**
 * Returns the path of `segments` from `root`, in the notation of RFC 9535: `$.input.messages[2]['top-k']`. It is cut off before
 * the segment that would make it longer than 1,000 characters.
 */
export function jsonPath(root: string, segments: readonly (string | number)[]): string {
  let path = root;
  for (const segment of segments) {
    const longer = path + (typeof segment === "number" ? `[${segment}]` : memberStep(segment));
    if (longer.length > maxPathLength) break;
    path = longer;
  }
  return path;
}

function memberStep(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `.${name}`;
  const escaped = name
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "\\'")
    // Control characters.
    .replace(/[^ -\uffff]/g, (character) => JSON.stringify(character).slice(1, -1));
  return `['${escaped}']`;
}
