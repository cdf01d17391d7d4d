import { createHash } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { type Command, Option } from "commander";
import { type ExportEnd, ExportEndSchema } from "../../../clients/typescript/src/contract.ts";
import { formatByName } from "../../files/file-format.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf, versionHelp, versionSelectorOf } from "../address.ts";
import type { Cli } from "../context.ts";
import { CommandError } from "../exit-code.ts";
import { messageJson } from "../json-output.ts";
import { names } from "../option-values.ts";
import { oneLine, plural } from "../printing/text.ts";
import { startTransferProgress } from "../printing/transfer-progress.ts";
import { type FormatName, formatNames, wireFormats } from "../wire-formats.ts";

interface Options {
  readonly at?: string;
  readonly split?: string[];
  readonly format?: FormatName;
  readonly output?: string;
}

/** `itembank export`: a version as a file. */
export function exportCommand(act: Act): Command {
  return newCommand(
    "export",
    "write the items of a version as a file",
    "export capitals --at 3 -o capitals.parquet",
    "export capitals --format jsonl | head",
  )
    .argument("<name>", "name or id of the dataset")
    .option("--at <version>", `version to export: ${versionHelp} (default: latest)`)
    .option("--split <names>", "only items in any of these splits, comma-separated", names)
    .option("-o, --output <file>", "file to write (default: standard output)")
    .addOption(
      new Option(
        "--format <format>",
        "file format (default: by the extension of the file, else jsonl)",
      ).choices(formatNames),
    )
    .addHelpText(
      "after",
      "\n`itembank import` reads the file back without an option, also once a spreadsheet has edited it.",
    )
    .action(act(exportItems));
}

async function exportItems(cli: Cli, options: Options, name: string): Promise<undefined> {
  const { at, split = [], output } = options;
  const format = options.format ?? (output === undefined ? "jsonl" : formatByName("", output));
  if (format === undefined) {
    throw new CommandError(
      `cannot infer the format from the extension of ${output}`,
      `Specify it with --format: ${formatNames.join(", ")}.`,
    );
  }
  const frames = cli.client.queries.exportItems(
    { dataset: datasetRefOf(name), at: versionSelectorOf(at), splits: split, format: wireFormats[format] },
    { signal: cli.signal },
  );
  const end =
    output === undefined ? await writeTo(process.stdout, frames, cli) : await writeFile(output, frames, cli);
  const words = `${plural(end.itemCount, "item")} of version ${end.version}, ${plural(end.sizeBytes, "byte")}`;
  if (output === undefined) cli.talk.print(words);
  else if (cli.json) await cli.write(messageJson(ExportEndSchema, end));
  else await cli.write(`${oneLine(output)}: ${words}`);
}

type Frames = ReturnType<Cli["client"]["queries"]["exportItems"]>;

/** Writes a file atomically: it appears complete or not at all. */
async function writeFile(output: string, frames: Frames, cli: Cli): Promise<ExportEnd> {
  const partial = `${output}.partial`;
  const file = createWriteStream(partial);
  try {
    await once(file, "open");
    const end = await writeTo(file, frames, cli);
    file.end();
    await once(file, "close");
    await rename(partial, output);
    return end;
  } catch (error) {
    file.destroy();
    await rm(partial, { force: true });
    throw error;
  }
}

async function writeTo(
  stream: NodeJS.WritableStream,
  frames: Frames,
  { talk, signal }: Pick<Cli, "talk" | "signal">,
): Promise<ExportEnd> {
  const hash = createHash("sha256");
  let size = 0;
  const progress = startTransferProgress(talk, "exporting", ["byte", "bytes"]);
  try {
    for await (const { frame } of frames) {
      if (frame.case === "end") {
        if (BigInt(size) === frame.value.sizeBytes && hash.digest().equals(frame.value.sha256))
          return frame.value;
        throw new CommandError("the received file does not match its checksum", "Export again.");
      }
      if (frame.case !== "chunk") continue;
      const { data } = frame.value;
      hash.update(data);
      size += data.length;
      if (!stream.write(data)) await once(stream, "drain", { signal });
      if (stream !== process.stdout || !process.stdout.isTTY) progress.update({ count: size });
    }
  } finally {
    progress.stop();
  }
  throw new CommandError("the export was cut off", "Export again.");
}
