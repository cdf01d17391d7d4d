import type { Command } from "commander";
import { GetServerInfoResponseSchema } from "../../../clients/typescript/src/contract.ts";
import { serverVersion } from "../../api/system/version.ts";
import { type Act, newCommand } from "../action.ts";
import type { Cli } from "../context.ts";
import { facts } from "../printing/facts.ts";

/** `itembank info`: the release of the server, and its limits. */
export function infoCommand(act: Act): Command {
  return newCommand(
    "info",
    "show the release of the server; with --json also its limits",
    "info --server 127.0.0.1:50051",
  ).action(act(info));
}

async function info(cli: Cli): Promise<undefined> {
  const answer = await cli.client.system.getServerInfo({}, { signal: cli.signal });
  await cli.showOne(GetServerInfoResponseSchema, answer, () =>
    facts(cli.out, [
      ["server", `${cli.serverUrl}, release ${answer.serverVersion}`],
      ["this program", `release ${serverVersion}`],
      ["content hash", answer.contentHashAlgorithms.join(", ")],
      ["digest", answer.digestAlgorithm],
    ]),
  );
}
