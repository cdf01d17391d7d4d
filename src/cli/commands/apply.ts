import type { Command } from "commander";
import type { Receipt } from "../../../clients/typescript/src/contract.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetAddress, datasetRefOf } from "../address.ts";
import { confirm } from "../confirm.ts";
import type { Cli } from "../context.ts";
import { type GuardOptions, guardsOf, withGuards } from "../guard-options.ts";
import { receiptInWords, writeReceipt } from "../receipt-output.ts";

interface Options extends GuardOptions {
  readonly rebase?: boolean;
  readonly yes?: boolean;
}

/** `itembank apply`: publishes a plan. */
export function applyCommand(act: Act): Command {
  return withGuards(
    newCommand("apply", "publish a plan", "apply capitals 0b6c1c1e-6a4f-4f0e-9d0e-3f1f5f0a7c11")
      .argument("<name>", "name or id of the dataset")
      .argument("<request-id>", "request id of the plan")
      .option("--rebase", "publish even if the dataset has changed since the plan was made")
      .option("-y, --yes", "do not ask for confirmation"),
  ).action(act(apply));
}

/** `itembank discard`: discards a plan or an import. */
export function discardCommand(act: Act): Command {
  return newCommand(
    "discard",
    "discard a plan or an interrupted import",
    "discard capitals 0b6c1c1e-6a4f-4f0e-9d0e-3f1f5f0a7c11",
  )
    .argument("<name>", "name or id of the dataset")
    .argument("<request-id>", "request id of the plan or import")
    .action(act(discard));
}

async function apply(cli: Cli, options: Options, name: string, requestId: string): Promise<undefined> {
  const { client, signal, talk } = cli;
  const { receipt: plan } = await client.upserts.getUpsert(
    { dataset: datasetRefOf(name), requestId },
    { signal },
  );
  if ((plan?.counts?.deleted ?? 0n) > 0n) {
    talk.print(receiptInWords({ out: talk }, plan as Receipt));
    await confirm(cli, "Publish this?", options.yes);
  }
  const guards = guardsOf(options);
  const { receipt } = await client.applyUpsert(datasetAddress(name), {
    requestId,
    allowRebase: options.rebase ?? false,
    ...(guards && { guards }),
    signal,
  });
  await writeReceipt(cli, receipt);
}

async function discard(cli: Cli, _: object, name: string, requestId: string): Promise<undefined> {
  const { client, signal } = cli;
  const { receipt } = await client.upserts.discardUpsert(
    { dataset: datasetRefOf(name), requestId },
    { signal },
  );
  await (cli.json ? writeReceipt(cli, receipt as Receipt) : cli.write(`discarded ${requestId}`));
}
