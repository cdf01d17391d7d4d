import Table from "cli-table3";
import stringWidth from "string-width";
import type { Terminal } from "./terminal.ts";
import { clipped } from "./text.ts";

/** A column of a table. Align numbers right, the default, and texts left. */
export interface PrintedColumn {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Whether to clip its cells where the table would be wider than the terminal. Such cells must not contain colours. */
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

/** The fewest columns that a cell keeps, however narrow the terminal. */
const narrowest = 8;

/** Draws an aligned table. Each column is as wide as its longest cell, colours not counted. */
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
      row.map((cell, place) => {
        const limit = limits[place];
        return limit === undefined ? cell : clipped(cell, limit);
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
  const widths = columns.map(({ title }, place) =>
    Math.max(stringWidth(title), ...rows.map((row) => stringWidth(row[place] ?? ""))),
  );
  let excess = widths.reduce((sum, one) => sum + one, 0) + chars.middle.length * (columns.length - 1) - width;
  while (excess > 0) {
    const widest = Math.max(...widths.filter((_, place) => columns[place]?.shrinks));
    if (widest <= narrowest) break;
    const at = widths.findIndex((one, place) => one === widest && columns[place]?.shrinks);
    widths[at] = widest - 1;
    excess--;
  }
  return columns.map(({ shrinks }, place) => (shrinks ? widths[place] : undefined));
}
