import { createHash, randomUUID } from "node:crypto";
import { type Receipt, Receipt_State } from "../../clients/typescript/src/contract.ts";
import { ItembankError } from "../../clients/typescript/src/node.ts";
import { datasetRefOf } from "./address.ts";
import type { Cli } from "./context.ts";

/** Writes of one name that may have ended already, one after the other, before a random name is taken. */
const maxAttempts = 16;

/**
 * A name for a write that a second run of the same command finds again, so that it goes on where the first was stopped,
 * also by a crash: it follows from what is written, where to, and how often that was done before.
 *
 * @param parts all that makes one write differ from another.
 * @param isOver whether the write of a name has ended, so that it cannot be gone on with.
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

/** A UUID (version 8, RFC 9562) that follows from texts. */
function uuidOf(parts: readonly string[]): string {
  const bytes = createHash("sha256").update(JSON.stringify(parts)).digest().subarray(0, 16);
  bytes.writeUInt8(((bytes[6] as number) & 0x0f) | 0x80, 6);
  bytes.writeUInt8(((bytes[8] as number) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The receipt of a write; undefined if there is no such write. */
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

/** Whether a write is published or given up. */
export function isFinal(receipt: Receipt | undefined): boolean {
  return receipt?.state === Receipt_State.PUBLISHED || receipt?.state === Receipt_State.DISCARDED;
}

/** Whether an error says that there is no such thing. */
export function isMissing(error: unknown): boolean {
  return (
    error instanceof ItembankError &&
    (error.reason === "UPSERT_NOT_FOUND" ||
      error.reason === "DATASET_NOT_FOUND" ||
      error.reason === "UPLOAD_NOT_FOUND")
  );
}
