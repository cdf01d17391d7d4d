import tab from "@bomb.sh/tab/commander";
import { Command, Option } from "commander";
import { serverVersion } from "../api/system/version.ts";
import type { Act } from "./action.ts";
import { applyCommand, discardCommand } from "./commands/apply.ts";
import { compareCommand } from "./commands/compare.ts";
import { datasetsCommand } from "./commands/datasets.ts";
import { diffCommand } from "./commands/diff.ts";
import { exportCommand } from "./commands/export.ts";
import { importCommand } from "./commands/import.ts";
import { infoCommand } from "./commands/info.ts";
import { itemsCommand } from "./commands/items.ts";
import { queryCommand } from "./commands/query.ts";
import { receiptsCommand } from "./commands/receipts.ts";
import { restoreCommand } from "./commands/restore.ts";
import { resultsCommand } from "./commands/results.ts";
import { runsCommand } from "./commands/runs.ts";
import { demoCommand, migrateCommand, serveCommand } from "./commands/serve.ts";
import { tagCommand, untagCommand } from "./commands/tag.ts";
import { versionsCommand } from "./commands/versions.ts";
import { watchCommand } from "./commands/watch.ts";
import { exitCodesHelp } from "./exit-code.ts";

/** Commands by subject, in the order of --help. */
const groups: readonly (readonly [title: string, commands: readonly ((act: Act) => Command)[]])[] = [
  ["The service:", [serveCommand, migrateCommand, demoCommand, infoCommand]],
  ["Datasets and their items:", [datasetsCommand, itemsCommand, importCommand, exportCommand, queryCommand]],
  [
    "Versions:",
    [
      versionsCommand,
      diffCommand,
      tagCommand,
      untagCommand,
      restoreCommand,
      watchCommand,
      receiptsCommand,
      applyCommand,
      discardCommand,
    ],
  ],
  ["Runs:", [runsCommand, resultsCommand, compareCommand]],
];

/** The program with all its commands. */
export function newProgram(act: Act): Command {
  const program = new Command("itembank")
    .description("Evaluation datasets under version control, and the experiment runs made on them.")
    .version(serverVersion)
    .addOption(
      new Option("--server <address>", "address of the service: host:port, or a URL")
        .env("ITEMBANK_URL")
        .default("127.0.0.1:50051"),
    )
    .option("--json", "write data as JSON: one document, or one line per element for streams")
    .addHelpText("after", `\n${exitCodesHelp}`)
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .exitOverride();
  for (const [title, commands] of groups) {
    for (const newOne of commands) {
      const command = newOne(act);
      inherit(command, program);
      program.addCommand(command.helpGroup(title));
    }
  }
  tab(program, { completionCommandName: "completion" });
  return program;
}

/** Copies settings to commands that were made on their own, which do not inherit them. */
function inherit(command: Command, parent: Command): void {
  command.copyInheritedSettings(parent);
  for (const child of command.commands) inherit(child as Command, command);
}
