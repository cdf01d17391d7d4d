import type { ChangeCounts, Receipt } from "../../../clients/typescript/src/contract.ts";
import { grouped } from "../../quantities.ts";

type Counts = Pick<ChangeCounts, "received" | "created" | "updated" | "unchanged" | "deleted">;

/** Returns all counts of a write: `received 72 = 12 created + 6 updated + 54 unchanged; 0 deleted`. */
export function countsInWords({ received, created, updated, unchanged, deleted }: Counts): string {
  const parts = [
    `${grouped(created)} created`,
    `${grouped(updated)} updated`,
    `${grouped(unchanged)} unchanged`,
  ];
  return `received ${grouped(received)} = ${parts.join(" + ")}; ${grouped(deleted)} deleted`;
}

/** Returns the outcome of an import: the version it made, or that nothing changed. */
export function outcomeInWords({ noOp, version }: Pick<Receipt, "noOp" | "version">): string {
  return noOp ? `no changes, no new version: still version ${version}` : `version ${version}`;
}
