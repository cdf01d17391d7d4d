import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunResultSchema } from "../../clients/typescript/src/contract.ts";
import { createItembankClient, type ItembankClient } from "../../clients/typescript/src/node.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { type Itembank, newItembank } from "./itembank.ts";

let service: TestService;
let client: ItembankClient;
let itembank: Itembank;
/** Twenty items. */
const itemIds = Array.from({ length: 20 }, (_, number) => `q${String(number).padStart(2, "0")}`);

beforeAll(async () => {
  service = await startTestService();
  client = createItembankClient({ url: service.url });
  itembank = newItembank(service.address);
  await client.upsertDataset({
    name: "sums",
    items: itemIds.map((itemId, number) => ({ itemId, input: { sum: [number, number] } })),
  });
  await record("baseline", "old", (number) => (number % 2 === 0 ? 1 : 0));
  await record("better", "new", (number) => (number === 1 ? "error" : 1));
  await record("same", "wide 模型", (number) => ((number + 1) % 2 === 0 ? 1 : 0));
});

afterAll(async () => {
  client?.close();
  await service?.close();
});

/** Makes a run with a result for every item; `score` returns its score, an error, or undefined to leave the cell missing. */
async function record(
  label: string,
  targetId: string,
  score: (number: number) => number | "error" | undefined,
): Promise<string> {
  const { run } = await client.runs.createRun({
    dataset: { by: { case: "name", value: "sums" } },
    run: { targetType: "model", targetId, labels: [label] },
  });
  const runId = run?.runId ?? "";
  await client.runs.recordResults({
    runId,
    results: itemIds.flatMap((itemId, number): MessageInitShape<typeof RunResultSchema>[] => {
      const value = score(number);
      if (value === undefined) return [];
      const cell = { itemId, repetition: 1 };
      if (value === "error") {
        return [
          {
            ...cell,
            outcome: { case: "error", value: { code: "TIMEOUT", message: "no\u001b[31m answer" } },
          },
        ];
      }
      const scores = [{ name: "correct", value }];
      return [{ ...cell, outcome: { case: "outputJson", value: `{"sum":${number}.0}` }, scores }];
    }),
  });
  return runId;
}

describe("itembank runs", () => {
  test("lists and shows runs, by id or by label", async () => {
    const listed = (await itembank.json("runs", "list", "sums", "--target", "old")) as { run_id: string }[];
    expect(listed).toMatchObject([
      { target_id: "old", counts: { expected: 20, succeeded: 20, failed: 0, missing: 0 } },
    ]);
    expect((await itembank("runs", "list")).stdout).toMatch(/new +better +running +19 +1 +0/);
    const shown = await itembank("runs", "show", "sums@baseline");
    expect(shown.stdout).toContain(listed[0]?.run_id);
    expect(shown.stdout).toContain("20 cells = 20 succeeded + 0 failed + 0 missing");
    const unknown = await itembank("runs", "show", "sums@nobody");
    expect(unknown).toMatchObject({ code: 1 });
    expect(unknown.stderr).toContain('no run of "sums" has the label "nobody"');
  });

  test("lists items without a success", async () => {
    await record("open", "partial", (number) => (number < 18 ? 1 : number === 18 ? "error" : undefined));
    expect((await itembank("runs", "incomplete", "sums@open")).stdout).toMatch(/q18 +1\nq19 +1\n/);
    const { stdout } = await itembank("runs", "incomplete", "sums@open", "--json");
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { item_id: "q18", missing_repetitions: [], failed_repetitions: [1] },
      { item_id: "q19", missing_repetitions: [1], failed_repetitions: [] },
    ]);
  });

  test("finishes, cancels and deletes, after showing the counts", async () => {
    await record("ending", "ends", (number) => (number < 5 ? 1 : undefined));
    const asked = await itembank("runs", "finish", "sums@ending");
    expect(asked.code).toBe(1);
    expect(asked.stderr).toContain("20 cells = 5 succeeded + 0 failed + 15 missing");
    expect(
      await itembank.json("runs", "finish", "sums@ending", "--min-success", "50%", "--yes"),
    ).toMatchObject({
      state: "FAILED",
    });
    await record("stopped", "stops", () => 1);
    expect((await itembank("runs", "cancel", "sums@stopped")).code).toBe(1);
    expect((await itembank("runs", "cancel", "sums@stopped", "--yes")).stdout).toContain("CANCELLED");
    expect((await itembank("runs", "delete", "sums@stopped")).code).toBe(1);
    expect((await itembank("runs", "delete", "sums@stopped", "--yes")).stdout).toContain("deleted runs");
    expect((await itembank("runs", "show", "sums@stopped")).code).toBe(1);
  });
});

describe("itembank results", () => {
  test("shows one line per result, without characters that a terminal interprets", async () => {
    const { stdout, stderr } = await itembank("results", "sums@better");
    expect(stdout).toMatch(/^✓ q00 #1 .*correct 1 {2}\{"sum":0\.0\}\n✗ q01 #1 .*TIMEOUT: no·\[31m answer\n/);
    expect(stdout).not.toContain("\u001b");
    expect(stderr).toContain("new is running: 20 cells = 19 succeeded + 1 failed + 0 missing");
    const failed = await itembank("results", "sums@better", "--failed", "--json");
    expect(JSON.parse(failed.stdout)).toMatchObject({ item_id: "q01", error: { code: "TIMEOUT" } });
    const succeeded = await itembank("results", "sums@better", "--succeeded");
    expect(succeeded.stdout.match(/^./gm)).toEqual(Array.from({ length: 19 }, () => "✓"));
    expect((await itembank("results", "sums@better", "--succeeded", "--failed")).code).toBe(1);
    const one = await itembank("results", "sums@better", "--item", "q02", "--json");
    expect(one.stdout).toContain('"output":{"sum":2.0}');
  });

  test("follows a run to its end", async () => {
    const runId = await record("followed", "live", (number) => (number < 3 ? 1 : undefined));
    const { said, ended, process: child } = itembank.start("results", runId, "--follow", "--json");
    let lines = 0;
    const threeLines = new Promise<void>((resolve) => {
      child.stdout?.on("data", (text: string) => {
        lines += text.split("\n").length - 1;
        if (lines === 3) resolve();
      });
    });
    await threeLines;
    await client.runs.recordResults({
      runId,
      results: [{ itemId: "q10", repetition: 1, outcome: { case: "outputJson", value: "1" } }],
    });
    await client.runs.finishRun({ runId });
    await said(/live is completed/);
    const { code, stdout } = await ended;
    expect(code).toBe(0);
    expect(stdout.trim().split("\n")).toHaveLength(4);
  });
});

describe("itembank compare", () => {
  test("draws several runs against one baseline, within 100 columns", async () => {
    const { code, stdout } = await itembank(
      "compare",
      "sums@baseline",
      "sums@better",
      "sums@same",
      "--items",
      "2",
    );
    expect(code).toBe(0);
    const lines = stdout.split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(lines).toContainEqual(
      expect.stringMatching(/^new +0\.526 {2}1\.000 {2}\+0\.474 {2}├─+┼─+━+●━+─*┤ +9\/0\/10 {2}better$/),
    );
    expect(lines).toContainEqual(
      expect.stringMatching(/^wide 模型 +0\.500 {2}0\.500 {3}0\.000 .* 10\/10\/0 {2}inconclusive$/),
    );
    expect(stdout).toContain("new: 20 items in both runs, 1 without a pair, 1 cell failed or missing");
    expect(stdout).toMatch(/q03 +0\.000 {2}→ {2}1\.000 {2}\+1\.000|q19 +0\.000 {2}→ {2}1\.000 {2}\+1\.000/);
  });

  test("counts failures as --failure says, and prints everything as JSON", async () => {
    const judged = ["compare", "sums@baseline", "sums@better", "--score", "correct", "--failure", "0"];
    expect(await itembank.json(...judged)).toMatchObject({
      common_item_count: 20,
      scores: [{ name: "correct", paired_item_count: 20, wins: 9, losses: 0, ties: 11, verdict: "BETTER" }],
    });
    const { stdout } = await itembank(...judged, "--json", "--rows");
    const rows = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows).toHaveLength(20);
    expect(rows[1]).toMatchObject({
      item_id: "q01",
      candidate: { failed: 1 },
      scores: [{ name: "correct", base: 0 }],
    });
    expect((await itembank("compare", "sums@baseline", "sums@better", "--failure", "0")).stderr).toContain(
      "--score",
    );
    expect((await itembank("compare", "sums@baseline", "sums@baseline")).code).toBe(1);
  });
});
