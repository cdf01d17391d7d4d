/**
 * The TypeScript client spells paths in the same way, in its src/json/json-path.ts. Client and service are packages of their own,
 * so each has its own copy; test/json/json-path.test.ts compares them.
 */

/** Maximum length of a path in UTF-16 units. Errors travel in HTTP headers, of which many stacks accept 8 KiB in all. */
export const maxPathLength = 1000;

/** Returns the path to a value, at most 1,000 characters: segments beyond that are left off, so the path names a parent. */
export function jsonPath(root: string, segments: Iterable<string | number>): string {
  let path = root;
  for (const one of segments) {
    const longer = path + spelledSegment(one);
    if (longer.length > maxPathLength) break;
    path = longer;
  }
  return path;
}

/**
 * Returns a segment of a JSON path (RFC 9535), from a value to its member of that name or its element at that index:
 * `.messages`, `['top-k']`, `[2]`.
 */
export function spelledSegment(to: string | number): string {
  return typeof to === "number" ? `[${to}]` : memberSegment(to);
}

/** Returns the short form where RFC 9535 has one for ASCII names, else the form of its normalized paths. */
function memberSegment(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `.${name}`;
  const escaped = name
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "\\'")
    // Control characters.
    .replace(/[^ -\uffff]/g, (character) => JSON.stringify(character).slice(1, -1));
  return `['${escaped}']`;
}
