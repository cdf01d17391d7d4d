import type { DatasetVersion } from "../../../gen/assay/v1/dataset_pb.js";
import { grouped } from "./counts.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** Characters of a digest: enough to tell the versions of a dataset apart. */
const digestLength = 8;

/** Versions and what each changed, in the order given. */
export function versionsTable(terminal: Terminal, versions: readonly DatasetVersion[]): string {
  const { colors } = terminal;
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
      { title: "note", align: "left" },
    ],
    versions.map(({ version, counts, itemCount, digest, note }) => {
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
        note,
      ];
    }),
  );
}
