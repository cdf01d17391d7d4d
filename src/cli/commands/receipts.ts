import type { Command } from "commander";
import { type Receipt, Receipt_State, ReceiptSchema } from "../../../clients/typescript/src/contract.ts";
import { grouped } from "../../quantities.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf } from "../address.ts";
import { allPages } from "../all-pages.ts";
import type { Cli } from "../context.ts";
import { count } from "../option-values.ts";
import { countsInWords } from "../printing/counts.ts";
import { facts } from "../printing/facts.ts";
import { table } from "../printing/table.ts";
import { plural } from "../printing/text.ts";
import { timeInWords } from "../printing/time.ts";

/** The default number of receipts to show: each takes a call of its own. */
const defaultLimit = 20;

/** `itembank receipts`: the receipts of writes. */
export function receiptsCommand(act: Act): Command {
  return newCommand(
    "receipts",
    "show the receipt of one write, or those of the latest versions",
    "receipts capitals",
    "receipts capitals 0b6c1c1e-6a4f-4f0e-9d0e-3f1f5f0a7c11",
  )
    .argument("<name>", "name or id of the dataset")
    .argument("[request-id]", "request id of one write, which may be a plan or an open import")
    .option("--limit <n>", `list at most this many (default: ${defaultLimit})`, count)
    .action(act(receipts));
}

async function receipts(
  cli: Cli,
  { limit = defaultLimit }: { readonly limit?: number },
  name: string,
  requestId: string | undefined,
): Promise<undefined> {
  if (requestId !== undefined) {
    const receipt = await getReceipt(cli, name, requestId);
    await cli.showOne(ReceiptSchema, receipt, () => receiptFacts(cli, receipt));
    return;
  }
  const { client, signal, out } = cli;
  const versions = await Array.fromAsync(
    allPages(
      (page) => client.datasets.listVersions({ dataset: datasetRefOf(name), ...page }, { signal }),
      (page) => page.versions,
      limit,
    ),
  );
  const found: Receipt[] = [];
  for (const version of versions) found.push(await getReceipt(cli, name, version.requestId));
  await cli.show(ReceiptSchema, found, () =>
    found.length === 0
      ? "no versions yet"
      : table(
          out,
          [
            { title: "version" },
            { title: "request id", align: "left" },
            { title: "published (UTC)", align: "left" },
            { title: "received" },
            { title: "created" },
            { title: "updated" },
            { title: "unchanged" },
            { title: "deleted" },
          ],
          found.map(({ version, requestId: id, publishTime, counts }) => [
            grouped(version),
            id,
            timeInWords(publishTime),
            grouped(counts?.received ?? 0n),
            grouped(counts?.created ?? 0n),
            grouped(counts?.updated ?? 0n),
            grouped(counts?.unchanged ?? 0n),
            grouped(counts?.deleted ?? 0n),
          ]),
        ),
  );
}

async function getReceipt({ client, signal }: Cli, name: string, requestId: string): Promise<Receipt> {
  const { receipt } = await client.upserts.getUpsert({ dataset: datasetRefOf(name), requestId }, { signal });
  return receipt as Receipt;
}

function receiptFacts({ out }: Cli, receipt: Receipt): string {
  return facts(out, [
    ["write", receipt.requestId],
    ["state", out.colors.bold(Receipt_State[receipt.state])],
    ["dataset", receipt.datasetId],
    ["compared with", receipt.baseVersion > 0n ? `version ${receipt.baseVersion}` : undefined],
    ["version", receipt.version > 0n ? `${receipt.version}${receipt.noOp ? ", as before" : ""}` : undefined],
    ["rows", receipt.counts && countsInWords(receipt.counts)],
    ["items after", receipt.state === Receipt_State.OPEN ? undefined : grouped(receipt.itemCount)],
    ["payload", plural(receipt.receivedBytes, "byte")],
    ["begun", timeInWords(receipt.createTime)],
    ["published", timeInWords(receipt.publishTime)],
    ["expires", timeInWords(receipt.expireTime)],
  ]);
}
