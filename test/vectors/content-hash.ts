import { readFileSync } from "node:fs";
import type { ItemContent } from "../../src/items/item.ts";

/** A text, or its parts: pieces, each repeated this many times. */
export type VectorText = string | readonly (readonly [piece: string, count: number])[];

interface VectorItem {
  readonly name: string;
  readonly input_json: VectorText;
  readonly expected_output_json?: VectorText;
  readonly metadata_json?: VectorText;
}

/** The content of `content-hash.json`. Its member `readme` explains it. */
interface Vectors {
  readonly readme: readonly string[];
  readonly valid: readonly (VectorItem & { readonly canonical: VectorText; readonly content_hash: string })[];
  readonly equal: readonly {
    readonly name: string;
    readonly input_json: readonly string[];
    readonly canonical: string;
    readonly content_hash: string;
  }[];
  readonly invalid: readonly (VectorItem & { readonly path: string; readonly problem: string })[];
  readonly digest: readonly {
    readonly name: string;
    readonly items: readonly {
      readonly item_id: string;
      readonly content_hash: string;
      readonly splits: readonly string[];
    }[];
    readonly digest: string;
  }[];
}

/** The golden vectors that implementations in all languages must agree with. */
export const vectors: Vectors = JSON.parse(
  readFileSync(new URL("content-hash.json", import.meta.url), "utf8"),
);

/** The text itself. */
export function spellOut(text: VectorText): string {
  return typeof text === "string" ? text : text.map(([piece, count]) => piece.repeat(count)).join("");
}

/** The item of a vector. */
export function contentOf(vector: VectorItem): ItemContent {
  const optional = (text: VectorText | undefined) => (text === undefined ? undefined : spellOut(text));
  return {
    input: spellOut(vector.input_json),
    expectedOutput: optional(vector.expected_output_json),
    metadata: optional(vector.metadata_json),
  };
}
