import type { Command } from "commander";
import { type DatasetVersion, DatasetVersionSchema } from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf, versionHelp, versionSelectorOf } from "../address.ts";
import { confirm } from "../confirm.ts";
import type { Cli } from "../context.ts";
import { int64Json, messageJson } from "../json-output.ts";

interface TagOptions {
  readonly at?: string;
  readonly lock?: boolean;
  readonly unlock?: boolean;
}

/** `itembank tag`: puts a name on a version, or moves it there. */
export function tagCommand(act: Act): Command {
  return newCommand(
    "tag",
    "put a tag on a version, or move it there",
    "tag capitals prod --at 3",
    "tag capitals prod --at 3 --lock",
  )
    .argument("<name>", "name or id of the dataset")
    .argument("<tag>", "the tag")
    .option("--at <version>", `which version, the latest unless set: ${versionHelp}`)
    .option("--lock", "keep others from moving it")
    .option("--unlock", "let it be moved again; needs the version that it is on")
    .action(act(tag));
}

/** `itembank untag`: takes a tag away. */
export function untagCommand(act: Act): Command {
  return newCommand("untag", "take a tag away", "untag capitals prod --yes")
    .argument("<name>", "name or id of the dataset")
    .argument("<tag>", "the tag")
    .option("-y, --yes", "do not ask")
    .action(act(untag));
}

async function tag(
  cli: Cli,
  { at, lock = false }: TagOptions,
  name: string,
  word: string,
): Promise<undefined> {
  const { version, previousVersion } = await cli.client.datasets.tagVersion(
    { dataset: datasetRefOf(name), at: versionSelectorOf(at), tag: word, locked: lock },
    { signal: cli.signal },
  );
  const tagged = version as DatasetVersion;
  if (cli.json) {
    const json = messageJson(DatasetVersionSchema, tagged);
    await cli.write(`{"version":${json},"previous_version":${int64Json(previousVersion)}}`);
    return;
  }
  const moved =
    previousVersion === 0n || previousVersion === tagged.version
      ? ""
      : `, before on version ${previousVersion}`;
  await cli.write(`${word} is on version ${tagged.version}${lock ? " and locked" : ""}${moved}`);
}

async function untag(
  cli: Cli,
  { yes }: { readonly yes?: boolean },
  name: string,
  word: string,
): Promise<undefined> {
  const { client, signal } = cli;
  const dataset = datasetRefOf(name);
  const found = await client.datasets.getVersion(
    { dataset, at: { by: { case: "tag", value: word } } },
    { signal },
  );
  await confirm(cli, `Take ${word} away from version ${found.version?.version}?`, yes);
  const { version } = await client.datasets.untagVersion({ dataset, tag: word }, { signal });
  await cli.showOne(
    DatasetVersionSchema,
    version as DatasetVersion,
    () => `version ${version?.version} does not carry ${word} any more`,
  );
}
