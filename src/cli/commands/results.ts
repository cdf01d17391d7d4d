import { type Command, Option } from "commander";
import {
  OutcomeFilter,
  type Run,
  Run_State,
  type RunResult,
  RunResultSchema,
} from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { runHelp, runIdOf } from "../address.ts";
import { allPages } from "../all-pages.ts";
import type { Cli } from "../context.ts";
import { messageJson } from "../json-output.ts";
import { count } from "../option-values.ts";
import { resultLine } from "../printing/result-line.ts";
import { cellsInWords, runName } from "../printing/runs-table.ts";

interface Options {
  readonly follow?: boolean;
  readonly failed?: boolean;
  readonly succeeded?: boolean;
  readonly item?: string;
  readonly limit?: number;
}

/** `itembank results`: the results of a run. */
export function resultsCommand(act: Act): Command {
  return newCommand(
    "results",
    "show the results of a run; with --json one per line",
    "results capitals@baseline --failed",
    "results capitals@baseline --follow",
  )
    .argument("<run>", runHelp)
    .option("-f, --follow", "keep showing results as they arrive, until the run ends")
    .addOption(new Option("--failed", "only results with an error").conflicts("succeeded"))
    .option("--succeeded", "only results with an output")
    .option("--item <id>", "only results of this item, including replaced ones")
    .option("--limit <n>", "show at most this many", count)
    .action(act(results));
}

async function results(cli: Cli, options: Options, word: string): Promise<undefined> {
  const { client, signal, out, talk } = cli;
  const { follow = false, item: itemId = "", limit = Number.POSITIVE_INFINITY } = options;
  const ending = options.failed ? "error" : options.succeeded ? "outputJson" : undefined;
  const runId = await runIdOf(client, word, signal);
  const isMeant = (result: RunResult) =>
    (ending === undefined || result.outcome.case === ending) && (itemId === "" || result.itemId === itemId);
  const write = (result: RunResult) =>
    cli.write(cli.json ? messageJson(RunResultSchema, result) : resultLine(out, result));
  if (!follow) {
    const listed = allPages(
      (page) =>
        client.runs.listResults(
          { runId, itemId, outcome: filterOf(options), includeReplaced: itemId !== "", ...page },
          { signal },
        ),
      (page) => page.results,
      limit,
    );
    for await (const result of listed) await write(result);
    const { run } = await client.runs.getRun({ runId }, { signal });
    talk.print(standing(run as Run));
    return;
  }
  const stream = client.streamResults({ runId, follow, signal });
  for (let left = limit; left > 0; ) {
    const { done, value } = await stream.next();
    if (done) {
      talk.print(standing(value));
      return;
    }
    if (!isMeant(value)) continue;
    await write(value);
    left--;
  }
  await stream.return(undefined as never);
}

function filterOf({ failed, succeeded }: Options): OutcomeFilter {
  if (failed) return OutcomeFilter.FAILED;
  return succeeded ? OutcomeFilter.SUCCEEDED : OutcomeFilter.ANY;
}

function standing(run: Run): string {
  return `${runName(run)} is ${(Run_State[run.state] ?? "").toLowerCase()}${run.counts ? `: ${cellsInWords(run.counts)}` : ""}`;
}
