import type { Command } from "commander";
import { DatasetVersionSchema } from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetAddress, datasetRefOf } from "../address.ts";
import type { Cli } from "../context.ts";
import { messageJson } from "../json-output.ts";
import { count } from "../option-values.ts";
import { countsInWords } from "../printing/counts.ts";
import { oneLine, plural } from "../printing/text.ts";
import { timeInWords } from "../printing/time.ts";

interface Options {
  readonly after?: number;
  readonly limit?: number;
}

/** `itembank watch`: new versions as they are made. */
export function watchCommand(act: Act): Command {
  return newCommand(
    "watch",
    "show versions as they are made, one per line, until Ctrl-C",
    "watch capitals",
    "watch capitals --after 0 --json",
  )
    .argument("<name>", "name or id of the dataset")
    .option("--after <version>", "start after this version; 0 shows all (default: the latest)", count)
    .option("--limit <n>", "stop after this many", count)
    .action(act(watch));
}

async function watch(cli: Cli, { after, limit }: Options, name: string): Promise<undefined> {
  const { client, signal, out, talk } = cli;
  let afterVersion: number | bigint | undefined = after;
  if (afterVersion === undefined) {
    const { dataset } = await client.datasets.getDataset({ dataset: datasetRefOf(name) }, { signal });
    afterVersion = dataset?.latestVersion ?? 0n;
  }
  talk.print(talk.colors.dim(`versions after ${afterVersion}, until Ctrl-C`));
  let seen = 0;
  for await (const version of client.watchDataset({ dataset: datasetAddress(name), afterVersion, signal })) {
    if (cli.json) await cli.write(messageJson(DatasetVersionSchema, version));
    else {
      const { counts, itemCount, note, createTime } = version;
      const words = [
        timeInWords(createTime),
        out.colors.bold(`version ${version.version}`),
        `${counts ? countsInWords(counts) : ""}, ${plural(itemCount, "item")}`,
        oneLine(note),
      ];
      await cli.write(words.filter((word) => word !== "").join("  "));
    }
    if (++seen === limit) return;
  }
}
