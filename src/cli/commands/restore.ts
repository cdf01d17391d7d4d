import type { Command } from "commander";
import type { Receipt } from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf, versionHelp, versionSelectorOf } from "../address.ts";
import { confirm } from "../confirm.ts";
import type { Cli } from "../context.ts";
import { exitCodes } from "../exit-code.ts";
import { receiptInWords, writePlan, writeReceipt } from "../receipt-output.ts";

interface Options {
  readonly plan?: boolean;
  readonly yes?: boolean;
  readonly note?: string;
}

/** `itembank restore`: makes a new version that equals an older one. */
export function restoreCommand(act: Act): Command {
  return newCommand(
    "restore",
    "make a new version that equals an older one",
    "restore capitals 3 --plan",
    "restore capitals 3 --yes",
  )
    .argument("<name>", "name or id of the dataset")
    .argument("<version>", `version to restore: ${versionHelp}`)
    .option("--plan", "show what would change, and keep it as a plan; exit code 2 if anything would")
    .option("--note <text>", "note to keep with the new version")
    .option("-y, --yes", "do not ask for confirmation")
    .action(act(restore));
}

async function restore(
  cli: Cli,
  { plan = false, yes, note = "" }: Options,
  name: string,
  version: string,
): Promise<number> {
  const { client, signal, talk } = cli;
  const dataset = datasetRefOf(name);
  const planned = (
    await client.datasets.restoreVersion(
      { dataset, at: versionSelectorOf(version), validateOnly: true, note },
      { signal },
    )
  ).receipt as Receipt;
  if (plan) return writePlan(cli, planned, name);
  const { requestId } = planned;
  try {
    if (!planned.noOp) {
      talk.print(receiptInWords({ out: talk }, planned));
      await confirm(cli, `Restore version ${version}?`, yes);
    }
  } catch (error) {
    // If discarding it fails, it expires after a day.
    await client.upserts.discardUpsert({ dataset, requestId }).catch(() => undefined);
    throw error;
  }
  const { receipt } = await client.upserts.applyUpsert(
    { dataset, requestId },
    { signal, timeoutMs: 600_000 },
  );
  await writeReceipt(cli, receipt as Receipt);
  return exitCodes.ok;
}
