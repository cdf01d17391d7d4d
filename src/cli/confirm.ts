import { createInterface } from "node:readline/promises";
import type { Cli } from "./context.ts";
import { CommandError } from "./exit-code.ts";

/**
 * Makes sure that something is meant. `--yes` says so; else a person at a terminal is asked.
 *
 * @param question ends with a question mark.
 * @throws CommandError if the answer is no, or there is nobody to ask
 */
export async function confirm(
  { talk, signal }: Pick<Cli, "talk" | "signal">,
  question: string,
  yes: boolean | undefined,
): Promise<void> {
  if (yes) return;
  if (process.stdin.isTTY !== true || !talk.interactive) {
    throw new CommandError("nothing was done, because there is nobody to ask", "Say --yes if this is meant.");
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  // A terminal that is read line by line hands Ctrl-C to the reader.
  reader.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    const answer = await reader.question(`${talk.colors.bold(question)} [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError("nothing was done");
  } finally {
    reader.close();
  }
}
