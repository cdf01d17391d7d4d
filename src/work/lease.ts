import { hash } from "node:crypto";
import type { Instant } from "../db/instant.ts";
import type { RunCell } from "../runs/run.ts";

/** A cell that a worker holds exclusively until the deadline. */
export interface Lease extends RunCell {
  /** The number of the lease within the run, from 1. */
  readonly number: bigint;
  /** The number that the attempt will have, from 1. */
  readonly attempt: number;
  readonly deadline: Instant;
}

const prefix = "leas";
const numberLength = 10;
const checkLength = 16;

/**
 * Returns the id of a lease: 30 characters like all ids, of which ten are its number and sixteen a checksum of its run, number
 * and cell. The checksum tells an id that was mixed up with another from the id of a lease that has ended, although ended leases
 * are not stored. An id is not a secret: a forged one allows no more than RecordResults does.
 */
export function leaseId(runId: string, number: bigint, { itemId, repetition }: RunCell): string {
  const check = hash("sha256", JSON.stringify([runId, `${number}`, itemId, repetition]), "hex");
  return prefix + digits(number, numberLength) + digits(BigInt(`0x${check.slice(0, 20)}`), checkLength);
}

/** Returns the number in the id of a lease. Undefined if the text is not such an id. */
export function leaseNumber(id: string): bigint | undefined {
  if (!/^leas[0-9a-v]{26}$/.test(id)) return undefined;
  return BigInt(Number.parseInt(id.slice(prefix.length, prefix.length + numberLength), 32));
}

function digits(value: bigint, length: number): string {
  return value.toString(32).padStart(length, "0");
}
