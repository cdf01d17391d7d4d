import type { Command } from "commander";
import {
  type ComparisonRow,
  ComparisonRowSchema,
  type ComparisonSummary,
  ComparisonSummarySchema,
} from "../../../clients/typescript/src/contract.ts";
import type { Comparison, ScoreSettings } from "../../../clients/typescript/src/node.ts";
import { type Act, newCommand } from "../action.ts";
import { runHelp, runIdOf } from "../address.ts";
import type { Cli } from "../context.ts";
import { CommandError } from "../exit-code.ts";
import { arrayJson, messageJson } from "../json-output.ts";
import { collect, count, decimal, names } from "../option-values.ts";
import { comparisonReport, movedItems } from "../printing/comparison-report.ts";

interface Options {
  readonly score?: string[];
  readonly lower?: string[];
  readonly tolerance?: number;
  readonly failure?: number;
  readonly items?: number;
  readonly rows?: boolean;
}

/** `itembank compare`: runs against a baseline, item by item. */
export function compareCommand(act: Act): Command {
  return newCommand(
    "compare",
    "compare runs with a baseline, item by item",
    "compare capitals@baseline capitals@candidate",
    "compare capitals@baseline runsA runsB --score correct --items 10",
    "compare capitals@baseline capitals@candidate --lower latency --score latency",
  )
    .argument("<base>", `run to compare with: ${runHelp}`)
    .argument("<runs...>", "runs to compare")
    .option("--score <name>", "compare only this score; may be repeated", collect(String))
    .option("--lower <names>", "scores where lower is better, comma-separated", names)
    .option("--tolerance <d>", "largest difference that does not matter, in units of the score", decimal)
    .option(
      "--failure <value>",
      "value of a repetition that failed or is missing (default: left out of the comparison)",
      decimal,
    )
    .option("--items <n>", "also show this many of the items that moved most", count)
    .option("--rows", "with --json: write one line per item instead")
    .action(act(compare));
}

async function compare(cli: Cli, options: Options, baseWord: string, words: string[]): Promise<undefined> {
  const { client, signal, out } = cli;
  const { items = 0, rows = false } = options;
  if (rows && !cli.json)
    throw new CommandError("--rows needs --json", "--items 10 shows the items that moved most.");
  const base = await runIdOf(client, baseWord, signal);
  const comparisons: Comparison[] = [];
  for (const word of words) {
    const candidate = await runIdOf(client, word, signal);
    comparisons.push(await client.compareRuns({ base, candidate, scores: settingsOf(options), signal }));
  }
  if (rows) {
    for (const { summary, rows: read } of comparisons) {
      for await (const row of read()) await cli.write(rowJson(summary, row));
    }
    return;
  }
  const summaries = comparisons.map(({ summary }) => summary);
  if (cli.json) {
    const texts = summaries.map((summary) => messageJson(ComparisonSummarySchema, summary));
    await cli.write(texts.length === 1 ? String(texts[0]) : arrayJson(texts));
    return;
  }
  await cli.write(comparisonReport(out, summaries));
  if (items === 0) return;
  for (const { summary, rows: read } of comparisons) {
    await cli.write(`\n${movedItems(out, summary, await Array.fromAsync(read()), items)}`);
  }
}

/** Returns how to compare the scores. Settings belong to a score, which --score or --lower must name. */
function settingsOf({ score, lower = [], tolerance, failure }: Options): ScoreSettings[] {
  const chosen = score ?? lower;
  if (chosen.length === 0 && (tolerance !== undefined || failure !== undefined)) {
    throw new CommandError("--tolerance and --failure need a score", "Name it with --score.");
  }
  return chosen.map((name) => ({
    name,
    direction: lower.includes(name) ? "lower_is_better" : "higher_is_better",
    ...(tolerance !== undefined && { tolerance }),
    ...(failure !== undefined && { failureValue: failure }),
  }));
}

function rowJson({ candidate }: ComparisonSummary, row: ComparisonRow): string {
  const json = messageJson(ComparisonRowSchema, row);
  return `{"candidate_run_id":${JSON.stringify(candidate?.runId)},${json.slice(1)}`;
}
