/** Returns the elements of a JSON array as texts, so that numbers keep all their digits. The array must be valid. */
export function arrayElements(json: string): string[] {
  const elements: string[] = [];
  let depth = 0;
  let start = json.indexOf("[") + 1;
  for (let at = start; at < json.length; at++) {
    switch (json[at]) {
      case '"':
        for (at++; json[at] !== '"'; at++) if (json[at] === "\\") at++;
        break;
      case "[":
      case "{":
        depth++;
        break;
      case "}":
        depth--;
        break;
      case ",":
        if (depth > 0) break;
        elements.push(json.slice(start, at).trim());
        start = at + 1;
        break;
      case "]": {
        if (depth-- > 0) break;
        const last = json.slice(start, at).trim();
        if (last !== "") elements.push(last);
        return elements;
      }
    }
  }
  return elements;
}
