import { Code, ConnectError } from "@connectrpc/connect";
import { serverVersion } from "../../src/api/system/version.ts";
import { newTerminal } from "../../src/cli/printing/terminal.ts";
import { explainStart } from "../../src/server/explain-start.ts";
import { startService } from "./service.ts";
import { tour } from "./tour.ts";

/**
 * Starts the service with its embedded database, demonstrates it over gRPC, and stops it. Run again on the same data, it changes
 * nothing. The data is stored where `npm start` stores it.
 *
 * @param settings Variables by name, as the service takes them.
 * @throws the reason of `stopping` if that fires, which stops the service under the tour; else Error, see `explainDemo`
 */
export async function runDemo(
  settings: Readonly<Record<string, string | undefined>>,
  stopping: AbortSignal,
): Promise<void> {
  const terminal = newTerminal(process.stdout, process.env);
  terminal.heading(`Itembank ${serverVersion}`);
  terminal.print("starting; the first start takes some seconds");
  try {
    await using service = await startService(settings);
    stopping.throwIfAborted();
    stopping.addEventListener("abort", () => void service[Symbol.asyncDispose]());
    terminal.print(`database  ${service.databaseDescription}`);
    terminal.print(`calls     gRPC to ${service.address}`);
    await tour(service, terminal);
  } catch (error) {
    // Calls that the stop interrupted have failed, which is expected and not reported.
    if (!stopping.aborted) throw error;
  }
  if (stopping.aborted) terminal.print("\nstopped, and the database with it");
  stopping.throwIfAborted();
}

/** Describes in one line why the demo failed. */
export function explainDemo(error: unknown): string {
  if (error instanceof ConnectError) return `${Code[error.code]}: ${error.rawMessage}`;
  return explainStart(error).split("\n")[0] ?? "";
}
