import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const folder = join(import.meta.dirname, "../../src");

const sources = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => {
    const text = readFileSync(join(folder, path), "utf8");
    return {
      path,
      text,
      imports: [...text.matchAll(/(?:from|import\() ?"([^"]+)"/g)].map(([, name = ""]) => name),
    };
  });

/** Returns the files other than `except` that import a module. */
const importers = (pattern: RegExp, except: string) =>
  sources
    .filter(({ path, imports }) => path !== except && imports.some((name) => pattern.test(name)))
    .map(({ path }) => path);

describe("the sources of the client", () => {
  test("are found, with their imports", () => {
    expect(sources.length).toBeGreaterThan(40);
    expect(sources.find(({ path }) => path === "node.ts")?.imports).toContain("node:crypto");
  });

  test("use Node's own modules in one file, and modules for browsers in another", () => {
    expect(importers(/^node:|connect-node/, "node.ts")).toEqual([]);
    expect(importers(/connect-web|^@noble/, "browser.ts")).toEqual([]);
    const globals = sources.filter(
      ({ path, text }) => path !== "node.ts" && /\b(Buffer|process)\./.test(text),
    );
    expect(globals.map(({ path }) => path)).toEqual([]);
  });

  test("import nothing of the service", () => {
    expect(importers(/\.\.\/(src|test)\//, "")).toEqual([]);
    const beyond = sources.filter(({ path, imports }) =>
      imports.some(
        (name) =>
          name.startsWith(".") &&
          join(path, "..", name).startsWith("../") &&
          !join(path, "..", name).startsWith("../gen/"),
      ),
    );
    expect(beyond.map(({ path }) => path)).toEqual([]);
  });

  test("import each other in no circle, not even for types", () => {
    const importsOf = new Map(
      sources.map(({ path, imports }) => [
        path,
        imports.filter((name) => name.startsWith(".")).map((name) => join(path, "..", name)),
      ]),
    );
    /** Returns the files from `path` back to itself, if there is such a way. */
    const circleAt = (path: string, way: readonly string[] = []): readonly string[] | undefined => {
      if (way[0] === path) return [...way, path];
      if (way.includes(path)) return undefined;
      for (const next of importsOf.get(path) ?? []) {
        const circle = circleAt(next, [...way, path]);
        if (circle !== undefined) return circle;
      }
      return undefined;
    };
    const circles = [...importsOf.keys()].flatMap((path) => circleAt(path)?.join(" → ") ?? []);
    expect(circles).toEqual([]);
  });

  test("document every export", () => {
    const exported = /^export (?:async )?(?:class|const|function\*?|interface|type) (\w+)/;
    const undocumented = sources.flatMap(({ path, text }) => {
      const lines = text.split("\n");
      return lines.flatMap((line, at) => {
        const [, name] = exported.exec(line) ?? [];
        return name === undefined || lines[at - 1]?.endsWith("*/") ? [] : [`${path} ${name}`];
      });
    });
    expect(undocumented).toEqual([]);
  });

  test("are named in kebab-case after their content, and short", () => {
    const drawers = /^(lib|utils?|helpers?|common|types|misc|shared|index)$/;
    const badly = sources.filter(({ path, text }) => {
      const parts = path.replace(/\.ts$/, "").split("/");
      return (
        parts.some((part) => drawers.test(part) || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(part)) ||
        text.split("\n").length > 300
      );
    });
    expect(badly.map(({ path }) => path)).toEqual([]);
  });
});
