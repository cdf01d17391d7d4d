import { createHash, randomUUID } from "node:crypto";
import { type Receipt, Receipt_State } from "../../clients/typescript/src/contract.ts";
import { ItembankError } from "../../clients/typescript/src/node.ts";
import { datasetRefOf } from "./address.ts";
import type { Cli } from "./context.ts";

/** Successive names to try that belong to ended writes, before a random name is taken. */
const maxAttempts = 16;

/**
 * Returns a name for a write that a second run of the same command finds again, to resume where the first one stopped or
 * crashed: it is derived from the content, the target, and the number of equal writes before.
 *
 * @param parts everything that distinguishes one write from another.
 * @param isOver whether the write of a name has ended, so that it cannot be resumed.
 */
export async function resumableName(
  parts: readonly string[],
  isOver: (name: string) => Promise<boolean>,
): Promise<string> {
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const name = uuidOf([...parts, String(attempt)]);
    if (!(await isOver(name))) return name;
  }
  return randomUUID();
}

/** Derives a UUID (version 8, RFC 9562) from texts. */
function uuidOf(parts: readonly string[]): string {
  const bytes = createHash("sha256").update(JSON.stringify(parts)).digest().subarray(0, 16);
  bytes.writeUInt8(((bytes[6] as number) & 0x0f) | 0x80, 6);
  bytes.writeUInt8(((bytes[8] as number) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Finds the receipt of a write; undefined if there is no such write. */
export async function findReceipt(
  { client, signal }: Pick<Cli, "client" | "signal">,
  dataset: string,
  requestId: string,
): Promise<Receipt | undefined> {
  try {
    return (await client.upserts.getUpsert({ dataset: datasetRefOf(dataset), requestId }, { signal }))
      .receipt;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether a write is published or discarded. */
export function isFinal(receipt: Receipt | undefined): boolean {
  return receipt?.state === Receipt_State.PUBLISHED || receipt?.state === Receipt_State.DISCARDED;
}

/** Whether an error reports that a dataset, write or upload does not exist. */
export function isMissing(error: unknown): boolean {
  return (
    error instanceof ItembankError &&
    (error.reason === "UPSERT_NOT_FOUND" ||
      error.reason === "DATASET_NOT_FOUND" ||
      error.reason === "UPLOAD_NOT_FOUND")
  );
}
