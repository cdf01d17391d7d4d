import type { Client } from "../db/pool.ts";
import { type DifferenceWindow, isCloseBy } from "./difference.ts";
import {
  findEndOfRange,
  getSpan,
  listDifferencesInRange,
  listTouchedDifferences,
  type VersionPair,
} from "./difference-store.ts";

/**
 * Differences that are held at a time, or revisions that are compared: enough to make going through a large change in parts
 * cheap, few enough to keep memory flat. Ids may have 255 bytes each.
 */
export const windowSize = 20_000;

/** Reads the differences behind an item_id, or from the first on, as far as one window goes. Runs within a transaction. */
export type ReadWindow = (client: Client, after: string | undefined) => Promise<DifferenceWindow>;

/** Which way differences are found; left out, the cheaper one. */
export interface ReadOptions {
  readonly size?: number;
  readonly closeBy?: boolean;
}

/**
 * Finds out how to read the differences of two versions: what has changed in between is looked up as long as that is less
 * than all there is.
 */
export async function readDifferences(
  client: Client,
  pair: VersionPair,
  { size = windowSize, closeBy }: ReadOptions = {},
): Promise<ReadWindow> {
  const span = await getSpan(client, pair);
  return (closeBy ?? isCloseBy(span, size)) ? touched(pair, size) : walk(pair, size);
}

function touched(pair: VersionPair, size: number): ReadWindow {
  return async (client, after) => {
    const differences = await listTouchedDifferences(client, pair, after, size);
    return {
      differences,
      through: differences.length === size ? differences.at(-1)?.itemId : undefined,
    };
  };
}

function walk(pair: VersionPair, size: number): ReadWindow {
  return async (client, after) => {
    const through = await findEndOfRange(client, pair.datasetId, after, size);
    return { differences: await listDifferencesInRange(client, pair, after, through), through };
  };
}

/** Streams all differences, window by window. */
export async function* streamDifferences(
  client: Client,
  read: ReadWindow,
): AsyncGenerator<DifferenceWindow["differences"]> {
  let after: string | undefined;
  do {
    const { differences, through } = await read(client, after);
    if (differences.length > 0) yield differences;
    after = through;
  } while (after !== undefined);
}
