import { encodeTime, ulid } from "ulid";

/**
 * Identifiers: a prefix of four letters and 26 characters of [0-9a-z], a ULID in lower case. They sort by creation
 * time, which keeps b-trees compact and newest-first listings cheap.
 */
export type IdPrefix = "data" | "runs" | "rslt" | "upld";

/** Returns a new identifier, 30 characters. */
export function newId(prefix: IdPrefix): string {
  return prefix + ulid(tick()).toLowerCase();
}

/** Whether a text has the form of a dataset's id. */
export function isDatasetId(text: string): boolean {
  return /^data[0-9a-z]{26}$/.test(text);
}

/**
 * The form of item ids that the server assigns. Callers may send such an id back, so the form proves its origin, not
 * its owner.
 */
export const assignedItemId = /^item[0-9a-z]{26}$/;

/**
 * Returns the prefix of the ids that one write assigns, 22 characters: `item`, 10 of time, 8 random ones. The number of
 * the row follows, so a row keeps its id however often it is sent, and ids sort in the order of rows. 40 random bits on
 * top of the millisecond suffice: prefixes only have to differ within a dataset.
 */
export function newItemIdPrefix(): string {
  return `item${ulid(tick()).toLowerCase().slice(0, 18)}`;
}

/** Returns the id that a write with this prefix assigns to the row of this number (from 0, below 2^40). */
export function itemIdOfRow(prefix: string, rowNumber: number): string {
  return prefix + encodeTime(rowNumber, 8).toLowerCase();
}

let lastTick = 0;

/** Returns the time in milliseconds, strictly increasing within a process, so that later ids sort later. */
function tick(): number {
  lastTick = Math.max(Date.now(), lastTick + 1);
  return lastTick;
}
