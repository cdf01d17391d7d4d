import type { DatasetVersion } from "../../../clients/typescript/src/contract.ts";
import { grouped } from "../../quantities.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { oneLine } from "./text.ts";

/** Hexadecimal digits of a digest: enough to distinguish the versions of a dataset. */
const digestLength = 8;

/** Draws versions with their changes, in the given order. */
export function versionsTable(terminal: Terminal, versions: readonly DatasetVersion[]): string {
  const { colors } = terminal;
  const tagged = versions.some(({ tags }) => tags.length > 0);
  return table(
    terminal,
    [
      { title: "version" },
      { title: "created" },
      { title: "updated" },
      { title: "unchanged" },
      { title: "deleted" },
      { title: "items" },
      { title: "digest", align: "left" },
      ...(tagged ? ([{ title: "tags", align: "left", shrinks: true }] as const) : []),
      { title: "note", align: "left", shrinks: true },
    ],
    versions.map(({ version, counts, itemCount, digest, note, tags }) => {
      const count = (value: bigint | undefined, color: (text: string) => string) =>
        value ? color(grouped(value)) : "0";
      return [
        colors.bold(String(version)),
        count(counts?.created, colors.green),
        count(counts?.updated, colors.yellow),
        count(counts?.unchanged, colors.dim),
        count(counts?.deleted, colors.red),
        grouped(itemCount),
        Buffer.from(digest).toString("hex").slice(0, digestLength),
        ...(tagged ? [tags.map(({ tag, locked }) => (locked ? `${tag} (locked)` : tag)).join(", ")] : []),
        oneLine(note),
      ];
    }),
  );
}
