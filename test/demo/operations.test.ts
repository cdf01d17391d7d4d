import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { variables } from "../../src/config.ts";

describe("docs/operations.md", () => {
  it("lists every variable with its default and its meaning, and no other", async () => {
    const page = await readFile(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const documented = [...page.matchAll(/^\| `(ITEMBANK_\w+)` \| (?:`(.*?)` )?\| (.*) \|$/gm)];
    expect(documented.map(([, name, byDefault = "", meaning]) => [name, byDefault, meaning])).toEqual(
      [...variables].map(([name, variable]) => [name, variable.default, variable.description]),
    );
  });
});
