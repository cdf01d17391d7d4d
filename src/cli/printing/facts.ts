import type { Terminal } from "./terminal.ts";
import { padded } from "./text.ts";

/** Lists names with their values, one per line. Empty values are left out. */
export function facts(
  { colors }: Pick<Terminal, "colors">,
  pairs: readonly (readonly [name: string, value: string | undefined])[],
): string {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== "");
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${colors.dim(padded(name, width))}  ${value}`).join("\n");
}
