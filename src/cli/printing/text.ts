import stringWidth from "string-width";

export { plural } from "../../quantities.ts";

/** Characters that a terminal interprets. Data must not be able to move the cursor or forge a line. */
const control = /\p{Cc}|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** Returns a text as one line that is safe to print: line breaks as `↵`, tabs as spaces, other control characters as `·`. */
export function oneLine(text: string): string {
  return text.replace(/\r?\n/g, "↵").replaceAll("\t", " ").replace(control, "·");
}

/** Clips a text to at most `width` columns; a clipped text ends in `…`. Wide characters count twice. */
export function clipped(text: string, width: number): string {
  if (text.length <= width / 2 || stringWidth(text) <= width) return text;
  let taken = "";
  let columns = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    columns += stringWidth(segment);
    if (columns > width - 1) break;
    taken += segment;
  }
  return `${taken}…`;
}

/** Pads a text with spaces to `width` columns. */
export function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - stringWidth(text)));
}
