import { CommanderError } from "commander";
import { onStopSignals } from "../server/stop-signals.ts";
import { newAct } from "./action.ts";
import { CommandError, exitCodes, Interrupted } from "./exit-code.ts";
import { explainError } from "./explain-error.ts";
import { newTerminal } from "./printing/terminal.ts";
import { newProgram } from "./program.ts";

/** The reason of a run that ends because nobody reads what it writes, as with `| head`. */
const noReader = new Interrupted(exitCodes.ok);

const talk = newTerminal(process.stderr, process.env, "");
const stopping = new AbortController();
let exitCode: number = exitCodes.ok;

/** The first signal asks the command to end in order, a second one ends the program at once. */
function stopOnSignals(): void {
  onStopSignals((code) => stopping.abort(new Interrupted(code)));
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      stopping.abort(noReader);
    });
  }
}

async function main(): Promise<void> {
  stopOnSignals();
  const act = newAct(stopping.signal, {
    done(code) {
      exitCode = code;
    },
    failed(error, serverUrl) {
      const { reason } = stopping.signal;
      exitCode = reason instanceof Interrupted ? reason.exitCode : exitCodes.error;
      // Whatever else failed did so because it was stopped, unless the command has more to say about that.
      if (!(reason instanceof Interrupted) || error instanceof CommandError) tell(error, serverUrl);
    },
  });
  try {
    await newProgram(act).parseAsync();
  } catch (error) {
    // Commander has said what was wrong with the arguments.
    exitCode = error instanceof CommanderError ? error.exitCode : exitCodes.error;
    if (!(error instanceof CommanderError)) tell(error, "");
  }
}

function tell(error: unknown, serverUrl: string): void {
  const { colors } = talk;
  const explanation = explainError(error, serverUrl);
  if (explanation === undefined) {
    // A fault of this program: whoever reports it needs all there is.
    talk.print(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return;
  }
  const { message, details, remedy } = explanation;
  talk.print(`${colors.red("itembank:")} ${message}`);
  for (const detail of details) talk.print(`  ${detail}`);
  if (remedy !== undefined) talk.print(colors.dim(remedy));
}

/** Lets go of standard output once everything is written, and ends: what is still open must not keep the program. */
function end(code: number): void {
  process.stdout.write("", () => process.exit(code));
}

await main();
end(exitCode);
