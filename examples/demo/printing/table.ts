import Table from "cli-table3";
import type { Terminal } from "./terminal.ts";

/** A column of a table. Numbers read best on the right, the default; texts on the left. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Lines between nothing but the head and the rows, so that 80 columns suffice. */
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

/** An aligned table. Widths are those of the longest cell, colours not counted. */
export function table(
  { colors }: Terminal,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const drawn = new Table({
    head: columns.map(({ title }) => colors.dim(title)),
    colAligns: columns.map(({ align = "right" }) => align),
    chars,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  drawn.push(...rows.map((row) => [...row]));
  // Cells of the last column are padded to its width, which nobody sees.
  return drawn
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}
