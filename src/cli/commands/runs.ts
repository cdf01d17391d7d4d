import { type Command, Option } from "commander";
import {
  type IncompleteItem,
  IncompleteItemSchema,
  type Run,
  Run_State,
  RunSchema,
} from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf, runHelp, runIdOf } from "../address.ts";
import { allPages } from "../all-pages.ts";
import { confirm } from "../confirm.ts";
import type { Cli } from "../context.ts";
import { membersJson, messageJson } from "../json-output.ts";
import { count, names, share } from "../option-values.ts";
import { facts } from "../printing/facts.ts";
import { cellsInWords, runName, runsTable } from "../printing/runs-table.ts";
import { table } from "../printing/table.ts";
import { oneLine, plural } from "../printing/text.ts";
import { timeInWords } from "../printing/time.ts";

interface ListOptions {
  readonly label?: string;
  readonly target?: string;
  readonly state?: string[];
  readonly limit?: number;
}

interface Consent {
  readonly yes?: boolean;
}

const stateNames = ["pending", "running", "completed", "failed", "cancelled"];

/** `itembank runs`: experiment runs. The client libraries create them. */
export function runsCommand(act: Act): Command {
  const one = (command: Command) => command.argument("<run>", runHelp);
  return newCommand("runs", "list, show, finish, cancel and delete runs, and list items without a success")
    .addCommand(
      newCommand("list", "list runs, newest first", "runs list capitals --state running")
        .argument("[name]", "only runs on this dataset")
        .option("--label <label>", "only runs with this label")
        .option("--target <id>", "only runs of this target")
        .addOption(
          new Option(
            "--state <states>",
            `only runs in any of these states, comma-separated: ${stateNames.join(", ")}`,
          ).argParser(names),
        )
        .option("--limit <n>", "list at most this many", count)
        .action(act(list)),
    )
    .addCommand(one(newCommand("show", "show one run", "runs show capitals@baseline")).action(act(show)))
    .addCommand(
      one(
        newCommand(
          "incomplete",
          "list items without a success; with --json one per line",
          "runs incomplete capitals@baseline",
        ),
      ).action(act(incomplete)),
    )
    .addCommand(
      one(newCommand("finish", "end a run", "runs finish capitals@baseline --min-success 95%"))
        .option("--min-success <share>", "share of cells that must have succeeded (default: 0)", share)
        .option("--failed <why>", "end it as failed, regardless of its results")
        .option("-y, --yes", "do not ask for confirmation where results are missing")
        .action(act(finish)),
    )
    .addCommand(
      one(newCommand("cancel", "stop a run and keep its results", "runs cancel capitals@baseline --yes"))
        .option("-y, --yes", "do not ask for confirmation")
        .action(act(cancel)),
    )
    .addCommand(
      one(newCommand("delete", "delete a run with its results", "runs delete capitals@baseline --yes"))
        .option("-y, --yes", "do not ask for confirmation")
        .action(act(remove)),
    );
}

async function list(cli: Cli, options: ListOptions, name: string | undefined): Promise<undefined> {
  const { client, signal, out } = cli;
  const { label = "", target: targetId = "", state = [], limit } = options;
  const states = state.map((word) => {
    const value = Run_State[word.toUpperCase() as keyof typeof Run_State];
    return value ?? Run_State.UNSPECIFIED;
  });
  const runs = await Array.fromAsync(
    allPages(
      (page) =>
        client.runs.listRuns(
          { ...(name !== undefined && { dataset: datasetRefOf(name) }), label, targetId, states, ...page },
          { signal },
        ),
      (page) => page.runs,
      limit,
    ),
  );
  await cli.show(RunSchema, runs, () => (runs.length === 0 ? "no runs" : runsTable(out, runs)));
}

async function getRun({ client, signal }: Cli, word: string): Promise<Run> {
  const { run } = await client.runs.getRun({ runId: await runIdOf(client, word, signal) }, { signal });
  return run as Run;
}

async function writeRun(cli: Cli, run: Run): Promise<void> {
  await cli.showOne(RunSchema, run, () => runFacts(cli, run));
}

function runFacts({ out }: Cli, run: Run): string {
  const { counts } = run;
  return facts(out, [
    ["run", out.colors.bold(oneLine(run.name))],
    ["id", run.runId],
    ["state", Run_State[run.state]],
    ["why", oneLine(run.failureMessage)],
    ["dataset", `${run.datasetId} version ${run.datasetVersion}`],
    ["target", oneLine(`${run.targetType} ${run.targetId}`.trim())],
    ["labels", run.labels.join(", ")],
    ["splits", oneLine(run.splits.join(", "))],
    ["cells", counts && cellsInWords(counts)],
    ["items", counts && `${plural(counts.itemCount, "item")}, ${plural(run.repetitions, "repetition")} each`],
    [
      "taken over",
      counts && counts.carried > 0n ? plural(counts.carried, "success", "successes") : undefined,
    ],
    ["description", oneLine(run.description)],
    ["metadata", oneLine(run.metadataJson)],
    ["created", timeInWords(run.createTime)],
    ["started", timeInWords(run.startTime)],
    ["ended", timeInWords(run.completeTime)],
  ]);
}

async function show(cli: Cli, _: object, word: string): Promise<undefined> {
  await writeRun(cli, await getRun(cli, word));
}

async function incomplete(cli: Cli, _: object, word: string): Promise<undefined> {
  const { client, signal, out, talk } = cli;
  const runId = await runIdOf(client, word, signal);
  const items = allPages(
    (page) => client.runs.listIncomplete({ runId, ...page }, { signal }),
    (page) => page.items,
  );
  const found: IncompleteItem[] = [];
  let total = 0;
  for await (const item of items) {
    total++;
    if (cli.json) await cli.write(messageJson(IncompleteItemSchema, item));
    else found.push(item);
  }
  if (found.length > 0) {
    await cli.write(
      table(
        out,
        [
          { title: "item", align: "left", shrinks: true },
          { title: "missing repetitions", align: "left", shrinks: true },
          { title: "failed repetitions", align: "left", shrinks: true },
        ],
        found.map(({ itemId, missingRepetitions, failedRepetitions }) => [
          oneLine(itemId),
          missingRepetitions.join(" "),
          failedRepetitions.join(" "),
        ]),
      ),
    );
  }
  talk.print(`${plural(total, "item")} without a success in some repetition`);
}

async function finish(
  cli: Cli,
  { minSuccess = 0, failed = "", yes }: Consent & { readonly minSuccess?: number; readonly failed?: string },
  word: string,
): Promise<undefined> {
  const { client, signal, talk } = cli;
  const { runId, counts, state } = await getRun(cli, word);
  const isOpen = state === Run_State.PENDING || state === Run_State.RUNNING;
  // An ended run takes no more results, so missing ones would stay missing.
  if (isOpen && counts && counts.missing > 0n && failed === "") {
    talk.print(`${cellsInWords(counts)}. Missing results cannot be added later.`);
    await confirm(cli, "End it anyway?", yes);
  }
  const { run } = await client.runs.finishRun(
    { runId, minSuccessRatio: minSuccess, failureMessage: failed },
    { signal },
  );
  await writeRun(cli, run as Run);
}

async function cancel(cli: Cli, { yes }: Consent, word: string): Promise<undefined> {
  const { client, signal, talk } = cli;
  const found = await getRun(cli, word);
  talk.print(
    `${runName(found)} has ${found.counts ? cellsInWords(found.counts) : "no results"}. Its results are kept.`,
  );
  await confirm(cli, "Stop it?", yes);
  const { run } = await client.runs.cancelRun({ runId: found.runId }, { signal });
  await writeRun(cli, run as Run);
}

async function remove(cli: Cli, { yes }: Consent, word: string): Promise<undefined> {
  const { client, signal, talk } = cli;
  const found = await getRun(cli, word);
  const { runId, etag, counts } = found;
  talk.print(
    `${runName(found)} has ${counts ? cellsInWords(counts) : "no results"}. Deleting it cannot be undone.`,
  );
  await confirm(cli, "Delete it?", yes);
  await client.runs.deleteRun({ runId, etag }, { signal });
  await cli.write(cli.json ? membersJson({ run_id: JSON.stringify(runId) }) : `deleted ${runId}`);
}
