import { PassThrough } from "node:stream";
import type { WriteStream } from "node:tty";
import { describe, expect, it } from "vitest";
import { startProgress } from "../../examples/demo/printing/progress.ts";
import { countsInWords, outcomeInWords } from "../../src/cli/printing/counts.ts";
import { intervalPlot, signed } from "../../src/cli/printing/interval-plot.ts";
import { table } from "../../src/cli/printing/table.ts";
import { newTerminal, type Terminal } from "../../src/cli/printing/terminal.ts";

/** A stream that is a terminal or not, and the text printed on it. */
function newScreen({ isTTY, ...environment }: { isTTY: boolean; NO_COLOR?: string; TERM?: string }): {
  terminal: Terminal;
  text: () => string;
} {
  const stream = Object.assign(new PassThrough(), { isTTY }) as unknown as WriteStream;
  return { terminal: newTerminal(stream, environment), text: () => String(stream.read() ?? "") };
}

describe("counts", () => {
  it("are printed in full, with separators", () => {
    expect(countsInWords({ received: 1300n, created: 12n, updated: 3n, unchanged: 1285n, deleted: 2n })).toBe(
      "received 1,300 = 12 created + 3 updated + 1,285 unchanged; 2 deleted",
    );
  });

  it("say when nothing changed", () => {
    expect(outcomeInWords({ noOp: true, version: 3n })).toBe("no changes, no new version: still version 3");
    expect(outcomeInWords({ noOp: false, version: 4n })).toBe("version 4");
  });
});

describe("the plot of an interval", () => {
  it("has zero in the middle and room for the whole interval", () => {
    const [axis = "", labels = ""] = intervalPlot({ low: 0.1, mean: 0.2, high: 0.3 }).split("\n");
    expect([axis.length, axis[0], axis[30], axis[60]]).toEqual([61, "├", "┼", "━"]);
    expect([axis.indexOf("━"), axis.indexOf("●"), axis.lastIndexOf("━")]).toEqual([40, 50, 60]);
    expect(labels).toBe(`−0.30${" ".repeat(25)}0${" ".repeat(25)}+0.30`);
  });

  it("covers zero where the interval does", () => {
    const [axis = ""] = intervalPlot({ low: -0.04, mean: 0.01, high: 0.05 }).split("\n");
    expect([axis[6], axis[30], axis[36]]).toEqual(["━", "━", "●"]);
  });

  it("handles an interval of width zero", () => {
    expect(intervalPlot({ low: 0, mean: 0, high: 0 })[30]).toBe("●");
  });

  it("writes differences with their sign, and zero without", () => {
    expect([0.5, -0.25, 0, -0.001].map((value) => signed(value))).toEqual(["+0.50", "−0.25", "0.00", "0.00"]);
  });
});

describe("printing", () => {
  it("has colours on a terminal only, and not with NO_COLOR", () => {
    const colored = ({ terminal }: { terminal: Terminal }) => terminal.colors.red("x") !== "x";
    expect(colored(newScreen({ isTTY: true }))).toBe(true);
    expect(colored(newScreen({ isTTY: true, NO_COLOR: "1" }))).toBe(false);
    expect(colored(newScreen({ isTTY: true, TERM: "dumb" }))).toBe(false);
    expect(colored(newScreen({ isTTY: false }))).toBe(false);
  });

  it("reports progress in plain lines without a terminal", () => {
    const { terminal, text } = newScreen({ isTTY: false });
    const progress = startProgress(terminal, { label: "rows", total: 100, unit: "rows" });
    for (const value of [10, 30, 40, 60, 90]) progress.update(value, "2 errors");
    progress.stop();
    expect(text().split("\n")).toEqual([
      "  rows 30 of 100 rows, 2 errors",
      "  rows 60 of 100 rows, 2 errors",
      "  rows 90 of 100 rows, 2 errors",
      "",
    ]);
  });

  it("ends incomplete progress with the last count", () => {
    const { terminal, text } = newScreen({ isTTY: false });
    const progress = startProgress(terminal, { label: "rows", total: 100, unit: "rows" });
    for (const value of [80, 97]) progress.update(value);
    progress.stop();
    expect(text()).toBe("  rows 80 of 100 rows\n  rows 97 of 100 rows\n");
  });

  it("aligns numbers to the right and texts to the left, without trailing space", () => {
    const { terminal } = newScreen({ isTTY: false });
    const drawn = table(
      terminal,
      [{ title: "items" }, { title: "note", align: "left" }],
      [
        ["7", "one"],
        ["1,200", "two words"],
      ],
    );
    expect(drawn.split("\n")).toEqual(["items  note", "    7  one", "1,200  two words"]);
  });
});
