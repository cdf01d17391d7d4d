import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contentHash as serverHash } from "../../../../src/items/content-hash.ts";
import { contentOf, vectors } from "../../../../test/vectors/content-hash.ts";
import { createItembankClient as createBrowserClient } from "../../src/browser.ts";
import { createItembankClient } from "../../src/node.ts";

// Neither client connects: hashing needs no server.
const url = "http://127.0.0.1:1";
const clients = [
  ["in Node", createItembankClient({ url })],
  ["in browsers", createBrowserClient({ url })],
] as const;

function textsOf(vector: Parameters<typeof contentOf>[0]) {
  const { input, expectedOutput, metadata } = contentOf(vector);
  return { inputJson: input, expectedOutputJson: expectedOutput, metadataJson: metadata };
}

describe.each(clients)("the content hash %s", (_, client) => {
  test.each(vectors.valid.map((vector) => [vector.name, vector] as const))("of %s", (_, vector) => {
    expect(client.contentHash(textsOf(vector))).toBe(vector.content_hash);
  });

  test.each(vectors.equal.map((vector) => [vector.name, vector] as const))("of %s", (_, vector) => {
    for (const inputJson of vector.input_json) {
      expect(client.contentHash({ inputJson })).toBe(vector.content_hash);
    }
  });

  test.each(vectors.invalid.map((vector) => [vector.name, vector] as const))("refuses %s", (_, vector) => {
    expect(() => client.contentHash(textsOf(vector))).toThrow(
      expect.objectContaining({
        reason: "INVALID_JSON",
        facts: expect.objectContaining({ path: vector.path }),
      }),
    );
  });
});

describe("the content hash of values", () => {
  const [, client] = clients[0];
  /** Any JSON that a JavaScript value can represent, awkward names and numbers included. */
  const value = fc.jsonValue({ maxDepth: 5, stringUnit: "binary" });
  const hashOf = (inputJson: string, expectedOutputJson: string | undefined) =>
    serverHash({ input: inputJson, expectedOutput: expectedOutputJson, metadata: undefined }).toString("hex");

  test("equals the one that the service computes of their JSON", () => {
    fc.assert(
      fc.property(value, fc.option(value, { nil: undefined }), (input, expectedOutput) => {
        const expectedText = expectedOutput === undefined ? undefined : JSON.stringify(expectedOutput);
        const expected = hashOf(JSON.stringify(input), expectedText);
        expect(client.contentHash({ input, expectedOutput })).toBe(expected);
        // Another spelling of the same value.
        const spelled = JSON.stringify(input, null, 2);
        expect(
          client.contentHash({
            inputJson: spelled,
            ...(expectedText === undefined ? {} : { expectedOutputJson: expectedText }),
          }),
        ).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});
