import type { Command } from "commander";
import { DatasetVersionSchema } from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf } from "../address.ts";
import { allPages } from "../all-pages.ts";
import type { Cli } from "../context.ts";
import { count } from "../option-values.ts";
import { versionsTable } from "../printing/versions-table.ts";

interface Options {
  readonly tagged?: boolean;
  readonly limit?: number;
}

/** `itembank versions`: the history of a dataset. */
export function versionsCommand(act: Act): Command {
  return newCommand(
    "versions",
    "list the versions of a dataset, newest first",
    "versions capitals --limit 10",
  )
    .argument("<name>", "name or id of the dataset")
    .option("--tagged", "only versions with a tag")
    .option("--limit <n>", "list at most this many", count)
    .action(act(versions));
}

async function versions(cli: Cli, { tagged = false, limit }: Options, name: string): Promise<undefined> {
  const { client, signal, out } = cli;
  const found = await Array.fromAsync(
    allPages(
      (page) =>
        client.datasets.listVersions(
          { dataset: datasetRefOf(name), taggedOnly: tagged, ...page },
          { signal },
        ),
      (page) => page.versions,
      limit,
    ),
  );
  await cli.show(DatasetVersionSchema, found, () =>
    found.length === 0 ? `no ${tagged ? "tagged " : ""}versions yet` : versionsTable(out, found),
  );
}
