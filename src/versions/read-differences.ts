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
 * Differences held at a time, or revisions compared: enough to read a large change in few parts, few enough to keep
 * memory flat. Ids may have 255 bytes each.
 */
export const windowSize = 20_000;

/** Reads the differences after an item_id, or from the first on, up to the end of one window. Runs within a transaction. */
export type ReadWindow = (client: Client, after: string | undefined) => Promise<DifferenceWindow>;

/** How to find differences; by default the cheaper way. */
export interface ReadOptions {
  readonly size?: number;
  readonly closeBy?: boolean;
}

/**
 * Decides how to read the differences of two versions: by the items touched in between, as long as these are fewer than
 * all items.
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
