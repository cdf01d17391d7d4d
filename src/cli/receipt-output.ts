import { type Receipt, Receipt_State, ReceiptSchema } from "../../clients/typescript/src/contract.ts";
import type { Cli } from "./context.ts";
import { exitCodes } from "./exit-code.ts";
import { countsInWords, outcomeInWords } from "./printing/counts.ts";

/** Writes a receipt, with all its counts. */
export async function writeReceipt(cli: Cli, receipt: Receipt): Promise<void> {
  await cli.showOne(ReceiptSchema, receipt, () => receiptInWords(cli, receipt));
}

/** `version 4, received 1,319 = 12 created + 3 updated + 1,304 unchanged; 2 deleted` */
export function receiptInWords({ out }: Pick<Cli, "out">, receipt: Receipt): string {
  const counts = receipt.counts ? countsInWords(receipt.counts) : "";
  if (receipt.state === Receipt_State.PLANNED) {
    const would = receipt.noOp ? "no changes" : `would make version ${receipt.baseVersion + 1n}`;
    return `${out.colors.bold(`plan: ${would}`)}, ${counts}`;
  }
  return `${out.colors.bold(outcomeInWords(receipt))}, ${counts}`;
}

/** Writes the effect of a plan and the commands to continue with. Returns the exit code. */
export async function writePlan(cli: Cli, receipt: Receipt, dataset: string): Promise<number> {
  await writeReceipt(cli, receipt);
  if (receipt.noOp) return exitCodes.ok;
  const name = shellWord(dataset);
  for (const [what, line] of [
    ["to see it    ", `itembank diff ${name} --planned ${receipt.requestId}`],
    ["to publish it", `itembank apply ${name} ${receipt.requestId}`],
    ["to discard it", `itembank discard ${name} ${receipt.requestId}`],
  ]) {
    cli.talk.print(`${cli.talk.colors.dim(String(what))}  ${line}`);
  }
  return exitCodes.changes;
}

/** Returns a word quoted for a shell, where it needs quotes. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
