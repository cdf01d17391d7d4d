import type { RunResult } from "../../../gen/itembank/v1/result_pb.js";
import type { Terminal } from "../../../src/cli/printing/terminal.ts";

/** Formats the answer of each repetition: right ones green, wrong ones red, errors and gaps in words. */
export function answersInWords(
  { colors }: Terminal,
  results: readonly RunResult[],
  repetitions: number,
): string {
  return Array.from({ length: repetitions }, (_, index) => {
    const result = results.find(({ repetition }) => repetition === index + 1);
    switch (result?.outcome.case) {
      case "outputJson": {
        const right = result.scores.some(({ name, value }) => name === "correct" && value === 1);
        const mark = right ? "✓" : "✗";
        const text = `${plain(result.outcome.value)} ${mark}`;
        return right ? colors.green(text) : colors.red(text);
      }
      case "error":
        return colors.yellow("error");
      default:
        return colors.yellow("missing");
    }
  }).join(colors.dim(" · "));
}

/** Formats a JSON text for people: strings without their quotes. */
export function plain(json: string): string {
  const value: unknown = JSON.parse(json);
  return typeof value === "string" ? value : json;
}
