import type { DatasetAddress, ItembankClient, VersionLike } from "../../clients/typescript/src/node.ts";
import { datasetRef, versionSelector } from "../../clients/typescript/src/rpc/dataset-ref.ts";
import { CommandError } from "./exit-code.ts";

const identifier = (prefix: string) => new RegExp(`^${prefix}[0-9a-z]{26}$`);
const datasetId = identifier("data");
const runId = identifier("runs");

/** Returns the dataset that an argument names: by id if it looks like one, else by name. */
export function datasetAddress(word: string): DatasetAddress {
  return datasetId.test(word) ? { datasetId: word } : { name: word };
}

/** Returns the same as a message of the contract. */
export function datasetRefOf(word: string) {
  return datasetRef(datasetAddress(word));
}

/** The ways to name a version, for --help. */
export const versionHelp = "a number, a tag, `latest`, or a time such as 2026-01-31 or 2026-01-31T12:00:00Z";

/** Returns the version that an argument names; undefined is the latest. @throws CommandError for an invalid time */
export function versionOf(word: string | undefined): VersionLike | undefined {
  if (word === undefined || word === "latest") return undefined;
  if (/^\d+$/.test(word)) return BigInt(word);
  if (!/^\d{4}-\d\d-\d\d/.test(word)) return { tag: word };
  const time = new Date(word);
  if (Number.isNaN(time.getTime())) {
    throw new CommandError(`${word} is not a valid time`, `A version is ${versionHelp}.`);
  }
  return { asOf: time };
}

/** Returns the same as a message of the contract. */
export function versionSelectorOf(word: string | undefined) {
  return versionSelector(versionOf(word));
}

/** The ways to name a run, for --help. */
export const runHelp = "a run id, or dataset@label for the run of the dataset with that label";

/** Returns the id of the run that an argument names. @throws CommandError if no run of the dataset has the label */
export async function runIdOf(client: ItembankClient, word: string, signal: AbortSignal): Promise<string> {
  if (runId.test(word)) return word;
  const at = word.lastIndexOf("@");
  if (at <= 0) throw new CommandError(`${JSON.stringify(word)} does not name a run`, `Use ${runHelp}.`);
  const [dataset, label] = [word.slice(0, at), word.slice(at + 1)];
  const { runs } = await client.runs.listRuns({ dataset: datasetRefOf(dataset), label }, { signal });
  const [run] = runs;
  if (run === undefined) {
    throw new CommandError(
      `no run of ${JSON.stringify(dataset)} has the label ${JSON.stringify(label)}`,
      "`itembank runs list` lists runs with their labels.",
    );
  }
  return run.runId;
}
