import { hash } from "node:crypto";
import { CanonicalWriter } from "../json/canonical-json.ts";
import type { ItemContent } from "./item.ts";

/** The name of the only way in which content hashes are computed so far. */
export const contentHashAlgorithm = "sha256-jcs-v1";

const writer = new CanonicalWriter();

// The members of the hashed object, in canonical order: for each, the text between its predecessor and its value.
const expectedOutputFirst = Buffer.from('{"expected_output":');
const inputFirst = Buffer.from('{"input":');
const inputNext = Buffer.from(',"input":');
const metadataNext = Buffer.from(',"metadata":');
const end = Buffer.from("}");

/**
 * Returns the content hash `sha256-jcs-v1` of an item, 32 bytes: the SHA-256 of the RFC 8785 form of an object with the
 * members input, expected_output and metadata, without those that are undefined. The spelling of a payload does not
 * matter; null is not the same as undefined. Splits are not hashed.
 *
 * @throws JsonProblem for a payload that `canonicalize` refuses, or metadata that is not an object. Its path starts at
 * the item, as in `$.input.messages[2]`. Of several problems it is the first of expected output, then input, then
 * metadata.
 */
export function contentHash({ input, expectedOutput, metadata }: ItemContent): Buffer {
  writer.clear();
  if (expectedOutput === undefined) {
    writer.append(inputFirst);
  } else {
    writer.append(expectedOutputFirst);
    writer.appendJson(expectedOutput, "$.expected_output");
    writer.append(inputNext);
  }
  writer.appendJson(input, "$.input");
  if (metadata !== undefined) {
    writer.append(metadataNext);
    writer.appendObject(metadata, "$.metadata");
  }
  writer.append(end);
  // The detour through a string saves 0.5 µs: an ArrayBuffer per hash costs as much as hashing 400 bytes.
  return Buffer.from(hash("sha256", writer.bytes(), "binary"), "binary");
}
