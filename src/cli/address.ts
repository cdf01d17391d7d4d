import type { DatasetAddress, ItembankClient, VersionLike } from "../../clients/typescript/src/node.ts";
import { datasetRef, versionSelector } from "../../clients/typescript/src/rpc/dataset-ref.ts";
import { CommandError } from "./exit-code.ts";

const identifier = (prefix: string) => new RegExp(`^${prefix}[0-9a-z]{26}$`);
const datasetId = identifier("data");
const runId = identifier("runs");

/** The dataset that a word means: its id if it looks like one, else its name. */
export function datasetAddress(word: string): DatasetAddress {
  return datasetId.test(word) ? { datasetId: word } : { name: word };
}

/** The same as a message of the contract. */
export function datasetRefOf(word: string) {
  return datasetRef(datasetAddress(word));
}

/** The words for a version, for --help. */
export const versionHelp =
  "a version is its number, a tag, `latest`, or a time such as 2026-01-31 or 2026-01-31T12:00:00Z";

/** The version that a word means. Undefined means the latest. @throws CommandError for a time that is none */
export function versionOf(word: string | undefined): VersionLike | undefined {
  if (word === undefined || word === "latest") return undefined;
  if (/^\d+$/.test(word)) return BigInt(word);
  if (!/^\d{4}-\d\d-\d\d/.test(word)) return { tag: word };
  const time = new Date(word);
  if (Number.isNaN(time.getTime())) throw new CommandError(`${word} is no time`, versionHelp);
  return { asOf: time };
}

/** The same as a message of the contract. */
export function versionSelectorOf(word: string | undefined) {
  return versionSelector(versionOf(word));
}

/** The words for a run, for --help. */
export const runHelp = "a run is its id, or dataset@label for the run of a dataset that has the label";

/** The id of the run that a word means. @throws CommandError if no run of the dataset has the label */
export async function runIdOf(client: ItembankClient, word: string, signal: AbortSignal): Promise<string> {
  if (runId.test(word)) return word;
  const at = word.lastIndexOf("@");
  if (at <= 0) throw new CommandError(`${JSON.stringify(word)} names no run`, `${runHelp}.`);
  const [dataset, label] = [word.slice(0, at), word.slice(at + 1)];
  const { runs } = await client.runs.listRuns({ dataset: datasetRefOf(dataset), label }, { signal });
  const [run] = runs;
  if (run === undefined) {
    throw new CommandError(
      `no run of ${JSON.stringify(dataset)} has the label ${JSON.stringify(label)}`,
      "`itembank runs list` shows runs with their labels.",
    );
  }
  return run.runId;
}
