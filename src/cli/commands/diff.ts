import type { Command } from "commander";
import { DiffSummarySchema, ItemChangeSchema } from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetAddress, versionHelp, versionOf } from "../address.ts";
import type { Cli } from "../context.ts";
import { CommandError, exitCodes } from "../exit-code.ts";
import { messageJson } from "../json-output.ts";
import { changeLines, diffInWords } from "../printing/change-lines.ts";

interface Options {
  readonly planned?: string;
  readonly summary?: boolean;
}

/** The latest version, named by a time in the future: leaving out `before` has another meaning. */
const latest = { asOf: new Date("9999-01-01T00:00:00Z") };

/** `itembank diff`: the differences of two versions, or the changes that a plan would make. */
export function diffCommand(act: Act): Command {
  return newCommand(
    "diff",
    "show the differences between two versions; exit code 2 if there are any",
    "diff capitals 1",
    "diff capitals 1 prod",
    "diff capitals --planned 0b6c1c1e-6a4f-4f0e-9d0e-3f1f5f0a7c11",
  )
    .argument("<name>", "name or id of the dataset")
    .argument("[before]", `earlier version: ${versionHelp}`)
    .argument("[after]", "later version (default: latest)")
    .option("--planned <request-id>", "show the changes that this plan would make")
    .option("--summary", "show totals only")
    .action(act(diff));
}

async function diff(
  cli: Cli,
  { planned, summary = false }: Options,
  ...[name, before, after]: [name: string, before?: string, after?: string]
): Promise<number> {
  if ((before === undefined) === (planned === undefined)) {
    throw new CommandError(
      "diff needs either an earlier version or a plan",
      "Example: itembank diff capitals 1",
    );
  }
  const { client, out, signal } = cli;
  const to = versionOf(after);
  const changes = client.diffVersions({
    dataset: datasetAddress(name),
    ...(planned === undefined ? { before: versionOf(before) ?? latest } : { planned }),
    ...(to !== undefined && { after: to }),
    view: summary ? "keys" : "full",
    signal,
  });
  for (;;) {
    const { done, value } = await changes.next();
    if (!done) {
      if (summary) continue;
      await cli.write(cli.json ? messageJson(ItemChangeSchema, value) : changeLines(out, value));
      continue;
    }
    const between =
      planned === undefined
        ? `version ${value.beforeVersion} → ${value.afterVersion}`
        : `version ${value.beforeVersion} → the plan`;
    const words = `${between}: ${diffInWords(value)}`;
    if (cli.json && summary) await cli.write(messageJson(DiffSummarySchema, value));
    else if (cli.json) cli.talk.print(words);
    else await cli.write(words);
    return value.created + value.updated + value.deleted > 0n ? exitCodes.changes : exitCodes.ok;
  }
}
