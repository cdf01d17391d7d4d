import type { Command } from "commander";
import { GetServerInfoResponseSchema } from "../../../clients/typescript/src/contract.ts";
import { serverVersion } from "../../api/system/version.ts";
import { type Act, newCommand } from "../action.ts";
import type { Cli } from "../context.ts";
import { facts } from "../printing/facts.ts";

/** `itembank info`: which server answers, and what it takes. */
export function infoCommand(act: Act): Command {
  return newCommand(
    "info",
    "tell which server answers; with --json also its limits",
    "info --server 127.0.0.1:50051",
  ).action(act(info));
}

async function info(cli: Cli): Promise<undefined> {
  const answer = await cli.client.system.getServerInfo({}, { signal: cli.signal });
  await cli.showOne(GetServerInfoResponseSchema, answer, () =>
    facts(cli.out, [
      ["server", `${cli.serverUrl}, release ${answer.serverVersion}`],
      ["this program", `release ${serverVersion}`],
      ["content hash", answer.contentHashAlgorithm],
      ["digest", answer.digestAlgorithm],
    ]),
  );
}
