import { encodeTime, ulid } from "ulid";

/**
 * Identifiers: a prefix of four letters and 26 characters of [0-9a-z], a ULID in lower case. They sort by the time of
 * their making, which keeps b-trees compact and newest-first listings cheap.
 */
export type IdPrefix = "data" | "runs" | "rslt" | "upld";

/** A new identifier, 30 characters. */
export function newId(prefix: IdPrefix): string {
  return prefix + ulid(tick()).toLowerCase();
}

/** What an item id of the server's looks like. Callers may send such an id back, so this tells its origin, not its owner. */
export const assignedItemId = /^item[0-9a-z]{26}$/;

/**
 * What the ids that one write assigns begin with, 22 characters: `item`, 10 of time, 8 of chance. The number of the row
 * follows, so that a row keeps its id however often it is sent, and ids sort in the order of rows. 40 bits of chance on
 * top of the millisecond suffice: prefixes only have to differ within a dataset.
 */
export function newItemIdPrefix(): string {
  return `item${ulid(tick()).toLowerCase().slice(0, 18)}`;
}

/** The id that a write with this prefix assigns to its row of this number (from 0, below 2^40). */
export function itemIdOfRow(prefix: string, rowNumber: number): string {
  return prefix + encodeTime(rowNumber, 8).toLowerCase();
}

let lastTick = 0;

/** The time in milliseconds, never the same twice in a process, so that what is made later sorts later. */
function tick(): number {
  lastTick = Math.max(Date.now(), lastTick + 1);
  return lastTick;
}
