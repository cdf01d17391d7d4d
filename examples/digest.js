// The digest of a version (sha256-sum-v1), computed from a file of items, one JSON object per line, without a server:
//
//     node examples/digest.js examples/reckoning/edition-1.jsonl
//
// It equals DatasetVersion.digest of a version with exactly these items. Definition: docs/contract.md, "Digests".

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

/** @param {readonly (string | Buffer)[]} parts */
function sha256(parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/**
 * The RFC 8785 form of a JSON value: no white space, members by their names, numbers as JavaScript writes them.
 *
 * @param {unknown} value
 * @returns {string}
 */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(",")}}`;
}

let sum = 0n;
for await (const line of createInterface({ input: createReadStream(process.argv[2] ?? "") })) {
  // The rest is the content: input, and expected_output and metadata unless absent.
  const { item_id: itemId, splits = [], ...content } = JSON.parse(line);
  const inOrder = [...new Set(splits)].map((split) => Buffer.from(split)).sort(Buffer.compare);
  const contentHash = sha256([canonical(content)]);
  const term = sha256([itemId, "\0", contentHash, ...inOrder.flatMap((split) => ["\0", split])]);
  sum += BigInt(`0x${term.toString("hex")}`);
}
console.log((sum % 2n ** 256n).toString(16).padStart(64, "0"));
