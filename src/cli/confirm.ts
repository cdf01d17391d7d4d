import { createInterface } from "node:readline/promises";
import type { Cli } from "./context.ts";
import { CommandError } from "./exit-code.ts";

/**
 * Asks for confirmation at the terminal, unless `--yes` was passed.
 *
 * @param question ends with a question mark.
 * @throws CommandError if the answer is no, or without a terminal
 */
export async function confirm(
  { talk, signal }: Pick<Cli, "talk" | "signal">,
  question: string,
  yes: boolean | undefined,
): Promise<void> {
  if (yes) return;
  if (process.stdin.isTTY !== true || !talk.interactive) {
    throw new CommandError("nothing was done: confirming it needs a terminal", "Pass --yes to confirm.");
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  // Readline puts the terminal into raw mode, so that Ctrl-C reaches the reader instead of the process.
  reader.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    const answer = await reader.question(`${talk.colors.bold(question)} [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError("nothing was done");
  } finally {
    reader.close();
  }
}
