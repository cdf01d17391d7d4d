import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { contentHash } from "../../src/items/content-hash.ts";
import { normalizeSplits } from "../../src/items/splits.ts";
import { DigestSum } from "../../src/versions/digest.ts";

const root = join(import.meta.dirname, "../..");

/** An item as a line of a file. */
interface Line {
  readonly item_id: string;
  readonly input: unknown;
  readonly expected_output?: unknown;
  readonly metadata?: unknown;
  readonly splits?: readonly string[];
}

/** Returns the output of examples/digest.js for a file. */
async function recipe(file: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, "examples/digest.js"), file]);
  return stdout.trim();
}

/** Computes the digest of the same lines as the service does. */
function digestOf(lines: readonly string[]): string {
  const sum = new DigestSum();
  for (const line of lines) {
    const { item_id, splits = [], ...content }: Line = JSON.parse(line);
    const hash = contentHash({
      input: JSON.stringify(content.input),
      expectedOutput: "expected_output" in content ? JSON.stringify(content.expected_output) : undefined,
      metadata: "metadata" in content ? JSON.stringify(content.metadata) : undefined,
    });
    sum.add(item_id, hash, normalizeSplits([...splits]));
  }
  return sum.bytes().toString("hex");
}

const linesOf = (text: string) => text.split("\n").filter((line) => line !== "");

describe("examples/digest.js", () => {
  test.each(["edition-1", "edition-2"])("prints the digest of %s of the sample", async (name) => {
    const file = join(root, `examples/reckoning/${name}.jsonl`);
    expect(await recipe(file)).toBe(digestOf(linesOf(await readFile(file, "utf8"))));
  });

  test("prints the digest of items of all kinds", async () => {
    const directory = await mkdtemp(join(tmpdir(), "itembank-digest-"));
    const lines = [
      '{"item_id":"numbers","input":[1.0,-0,1e21,1e-7,5e-324,0.1,123456789012]}',
      '{"item_id":"null","input":null,"expected_output":null}',
      '{"item_id":"empty","input":"","metadata":{}}',
      '{"item_id":"order","input":{"b":1,"a":{"d":1,"c":[{}]},"\\ud83d\\ude00":1,"\\uffee":2},"metadata":{"z":1,"A":2}}',
      '{"item_id":"__proto__","input":{"__proto__":1,"constructor":2}}',
      '{"item_id":"Zoë 😀","input":"\\u0000\\u007f\\"\\\\/","splits":["\\ud83d\\ude00","\\uffee","été"]}',
      '{"item_id":"twice","input":1,"splits":["b","a","b"]}',
    ];
    try {
      const file = join(directory, "items.jsonl");
      await writeFile(file, `${lines.join("\n")}\n`);
      expect(await recipe(file)).toBe(digestOf(lines));
      await writeFile(file, lines.toReversed().join("\n"));
      expect(await recipe(file)).toBe(digestOf(lines));
      await writeFile(file, "");
      expect(await recipe(file)).toBe("0".repeat(64));
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("docs/contract.md", () => {
  test("shows the digests that the service computes", async () => {
    const text = await readFile(join(root, "docs/contract.md"), "utf8");
    const section = text.slice(text.indexOf("## Digests"), text.indexOf("## Comparisons"));
    const rows = [...section.matchAll(/^\| (.+?) \| (.*?) \| `([0-9a-f]{64})` \|$/gm)];
    expect(rows.length).toBe(4);
    const hash = contentHash({ input: '{"q":"2+2?"}', expectedOutput: '"4"', metadata: undefined });
    expect(section).toContain(hash.toString("hex"));
    for (const [, itemId = "", splits = "", digest] of rows) {
      const sum = new DigestSum();
      const named = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
      for (const name of named(itemId)) sum.add(name, hash, named(splits));
      expect(sum.bytes().toString("hex")).toBe(digest);
    }
  });
});
