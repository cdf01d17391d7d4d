import { ChangeKind, type DiffSummary, type ItemChange } from "../../../clients/typescript/src/contract.ts";
import { grouped } from "../../quantities.ts";
import { partsOf, valueAt } from "./json-place.ts";
import type { Terminal } from "./terminal.ts";
import { clipped, oneLine } from "./text.ts";

/** The most paths to show of one item. JSON has them all. */
const maxPaths = 12;

/** The widest path, in columns, that has its values beside it instead of below. */
const pathWidth = 28;

/**
 * Describes the change of one item in a few lines:
 *
 *     ~ it
 *         $.expected_output  "Milan" → "Rome"
 */
export function changeLines(
  terminal: Pick<Terminal, "colors" | "width">,
  { kind, itemId, before, after, changedPaths }: ItemChange,
): string {
  const { colors, width } = terminal;
  const id = oneLine(itemId);
  const preview = (item: typeof before) => {
    const room = width - 4 - Math.min(id.length, 40);
    if (item?.purged) return colors.dim("(purged)");
    return item?.inputJson ? colors.dim(clipped(oneLine(item.inputJson), Math.max(20, room))) : "";
  };
  switch (kind) {
    case ChangeKind.CREATED:
      return `${colors.green(`+ ${id}`)}  ${preview(after)}`.trimEnd();
    case ChangeKind.DELETED:
      return `${colors.red(`- ${id}`)}  ${preview(before)}`.trimEnd();
    default: {
      const [old, now] = [partsOf(before), partsOf(after)];
      const lines = changedPaths.slice(0, maxPaths).flatMap((path) => {
        const shownPath = clipped(oneLine(path), width - 4);
        const [from, to] = [valueAt(old, path), valueAt(now, path)];
        if (from === undefined && to === undefined) return [`    ${shownPath}`];
        // Values go beside the path if there is room, else below it.
        const beside = shownPath.length <= pathWidth;
        const room = Math.floor((width - 4 - (beside ? pathWidth + 2 : 4) - 3) / 2);
        const values = `${colors.red(valueText(from, room))} ${colors.dim("→")} ${colors.green(valueText(to, room))}`;
        return beside
          ? [`    ${shownPath.padEnd(pathWidth)}  ${values}`]
          : [`    ${shownPath}`, `        ${values}`];
      });
      if (changedPaths.length > maxPaths)
        lines.push(colors.dim(`    and ${changedPaths.length - maxPaths} more paths`));
      return [colors.yellow(`~ ${id}`), ...lines].join("\n");
    }
  }
}

function valueText(value: unknown, width: number): string {
  return value === undefined ? "(absent)" : clipped(oneLine(JSON.stringify(value)), width);
}

/** Returns the totals of a difference: `12 created, 3 updated, 2 deleted, 1,304 unchanged`. */
export function diffInWords({
  created,
  updated,
  deleted,
  unchanged,
}: Pick<DiffSummary, "created" | "updated" | "deleted" | "unchanged">): string {
  return `${grouped(created)} created, ${grouped(updated)} updated, ${grouped(deleted)} deleted, ${grouped(unchanged)} unchanged`;
}
