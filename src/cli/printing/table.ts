import Table from "cli-table3";
import stringWidth from "string-width";
import type { Terminal } from "./terminal.ts";
import { clipped } from "./text.ts";

/** A column of a table. Align numbers right, the default, and texts left. */
export interface PrintedColumn {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Whether to clip its texts where the table would be wider than the terminal. Such texts must not contain colours. */
  readonly shrinks?: boolean;
  /** Whether its title stands out. */
  readonly isStrong?: boolean;
}

/** No borders, so that 80 columns suffice. */
const chars = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  right: "",
  "right-mid": "",
  mid: "",
  "mid-mid": "",
  middle: "  ",
};

/** The fewest columns that a text keeps, however narrow the terminal. */
const narrowest = 8;

/** Draws an aligned table. Each column is as wide as its longest text, colours not counted. */
export function table(
  { colors, width }: Pick<Terminal, "colors" | "width">,
  columns: readonly PrintedColumn[],
  rows: readonly (readonly string[])[],
): string {
  const limits = widthLimits(width, columns, rows);
  const drawn = new Table({
    head: columns.map(({ title, isStrong }) => (isStrong ? colors.bold : colors.dim)(title)),
    colAligns: columns.map(({ align = "right" }) => align),
    chars,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  drawn.push(
    ...rows.map((row) =>
      row.map((text, index) => {
        const limit = limits[index];
        return limit === undefined ? text : clipped(text, limit);
      }),
    ),
  );
  // Removes the padding of the last column.
  return drawn
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** Returns the widths to clip shrinking columns to, so that the table fits: the widest shrinks first. */
function widthLimits(
  width: number,
  columns: readonly PrintedColumn[],
  rows: readonly (readonly string[])[],
): (number | undefined)[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(stringWidth(title), ...rows.map((row) => stringWidth(row[index] ?? ""))),
  );
  let excess = widths.reduce((sum, one) => sum + one, 0) + chars.middle.length * (columns.length - 1) - width;
  while (excess > 0) {
    const widest = Math.max(...widths.filter((_, index) => columns[index]?.shrinks));
    if (widest <= narrowest) break;
    const at = widths.findIndex((one, index) => one === widest && columns[index]?.shrinks);
    widths[at] = widest - 1;
    excess--;
  }
  return columns.map(({ shrinks }, index) => (shrinks ? widths[index] : undefined));
}
