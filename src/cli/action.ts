import { Command } from "commander";
import { type Cli, newCli } from "./context.ts";

/** Runs a command with its options and arguments. Resolves to the exit code; undefined means 0. */
export type Action<Options, Args extends readonly unknown[]> = (
  cli: Cli,
  options: Options,
  ...args: Args
) => Promise<number | undefined>;

/** Binds actions to the run of the program that they belong to. */
export type Act = <Options, Args extends readonly unknown[]>(
  action: Action<Options, Args>,
) => (...given: unknown[]) => Promise<void>;

/** Receives the outcome of an action. */
export interface CommandOutcome {
  done(exitCode: number): void;
  failed(error: unknown, serverUrl: string): void;
}

/** Binds actions to a run of the program that ends when `signal` aborts. */
export function newAct(signal: AbortSignal, outcome: CommandOutcome): Act {
  return <Options, Args extends readonly unknown[]>(action: Action<Options, Args>) =>
    async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const cli = newCli(command, signal);
      try {
        // Commander has parsed both as the command declares, which the types cannot express.
        const options = command.opts() as Options;
        const args: readonly unknown[] = command.processedArgs;
        outcome.done((await action(cli, options, ...(args as Args))) ?? 0);
      } catch (error) {
        outcome.failed(error, cli.serverUrl);
      } finally {
        cli.close();
      }
    };
}

/** Makes a command whose examples follow its options in --help. */
export function newCommand(name: string, description: string, ...examples: readonly string[]): Command {
  const command = new Command(name).description(description);
  if (examples.length > 0) {
    const lines = examples.map((example) => `  $ itembank ${example}`);
    command.addHelpText("after", `\n${examples.length === 1 ? "Example" : "Examples"}:\n${lines.join("\n")}`);
  }
  return command;
}
