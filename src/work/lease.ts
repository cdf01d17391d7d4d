import { hash } from "node:crypto";
import type { Instant } from "../db/instant.ts";
import type { RunCell } from "../runs/run.ts";

/** A cell that a worker has, until the deadline, for itself. */
export interface Lease extends RunCell {
  /** Counts the leases of the run, from 1. */
  readonly number: bigint;
  /** The attempt that the result will be, from 1. */
  readonly attempt: number;
  readonly deadline: Instant;
}

const prefix = "leas";
const numberLength = 10;
const checkLength = 16;

/**
 * The id of a lease: 30 characters as all ids, of which ten are its number and sixteen a check of what it is on. So an id that
 * was mixed up with another is told from that of a lease which has ended, although nothing is kept of those. It is no
 * secret: whoever makes one up can do no more than RecordResults does.
 */
export function leaseId(runId: string, number: bigint, { itemId, repetition }: RunCell): string {
  const check = hash("sha256", JSON.stringify([runId, `${number}`, itemId, repetition]), "hex");
  return prefix + digits(number, numberLength) + digits(BigInt(`0x${check.slice(0, 20)}`), checkLength);
}

/** The number in an id of a lease. Undefined for a text that is none. */
export function leaseNumber(id: string): bigint | undefined {
  if (!/^leas[0-9a-v]{26}$/.test(id)) return undefined;
  return BigInt(Number.parseInt(id.slice(prefix.length, prefix.length + numberLength), 32));
}

function digits(value: bigint, length: number): string {
  return value.toString(32).padStart(length, "0");
}
