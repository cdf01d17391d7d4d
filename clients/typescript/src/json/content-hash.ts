import type { Platform } from "../platform.ts";
import { JsonProblem } from "./json-problem.ts";
import { readJsonText } from "./json-text.ts";
import { type Json, plainJson } from "./json-value.ts";

/** The name of the algorithm that computes content hashes here, as the contract has it. */
export const contentHashAlgorithm = "sha256-jcs-v1";

/** Texts and the hash of their content. */
export interface HashedContent {
  readonly inputJson: string;
  readonly expectedOutputJson: string | undefined;
  /** Empty if there is none. */
  readonly metadataJson: string;
  /** `sha256-jcs-v1`, 32 bytes. */
  readonly contentHash: Uint8Array;
}

/** A payload of a new item: a value, or a JSON text whose spelling is kept. */
export type Payload =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "text"; readonly text: string };

/**
 * Serializes payloads and hashes them (`sha256-jcs-v1`): the SHA-256 of the RFC 8785 form of an object with the members
 * expected_output, input and metadata, except undefined ones.
 *
 * @throws JsonProblem with a path from the item, as in `$.input.messages[2]`
 */
export function hashContent(
  platform: Platform,
  input: Payload,
  expectedOutput: Payload | undefined,
  metadata: Payload | undefined,
): HashedContent {
  const expected = expectedOutput && spell(expectedOutput, "$.expected_output");
  const given = spell(input, "$.input");
  const annotations = metadata && spell(metadata, "$.metadata");
  if (annotations !== undefined && !annotations.canonical.startsWith("{")) {
    throw new JsonProblem("$.metadata", [], "must be a JSON object");
  }
  const members = [
    ...(expected ? [`"expected_output":${expected.canonical}`] : []),
    `"input":${given.canonical}`,
    ...(annotations ? [`"metadata":${annotations.canonical}`] : []),
  ];
  return {
    inputJson: given.text,
    expectedOutputJson: expected?.text,
    metadataJson: annotations?.text ?? "",
    contentHash: platform.sha256(`{${members.join(",")}}`),
  };
}

function spell(payload: Payload, root: string): { readonly text: string; readonly canonical: string } {
  if (payload.kind === "text") {
    return { text: payload.text, canonical: canonical(readJsonText(payload.text, root)) };
  }
  const plain = plainJson(payload.value, root);
  const text = JSON.stringify(plain);
  return { text, canonical: isSorted(plain) ? text : canonical(plain) };
}

/** Returns the RFC 8785 form: that of JSON.stringify, with members sorted by the UTF-16 units of their names. */
function canonical(plain: Json): string {
  if (plain === null || typeof plain !== "object") return JSON.stringify(plain);
  if (Array.isArray(plain)) return `[${plain.map(canonical).join(",")}]`;
  const object = plain as Readonly<Record<string, Json>>;
  const members = Object.keys(object).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(object[name] as Json)}`).join(",")}}`;
}

/** Whether all members are in canonical order. JSON.stringify then returns the canonical form, in a fraction of the time. */
function isSorted(plain: Json): boolean {
  if (plain === null || typeof plain !== "object") return true;
  if (Array.isArray(plain)) return plain.every(isSorted);
  let previous: string | undefined;
  for (const [name, member] of Object.entries(plain)) {
    if (previous !== undefined && previous > name) return false;
    if (!isSorted(member)) return false;
    previous = name;
  }
  return true;
}
