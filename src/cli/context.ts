import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { createItembankClient, type ItembankClient } from "../../clients/typescript/src/node.ts";
import { CommandError } from "./exit-code.ts";
import { arrayJson, messageJson } from "./json-output.ts";
import { newTerminal, type Terminal } from "./printing/terminal.ts";

/** Options of every command. */
export interface GlobalOptions {
  readonly server: string;
  readonly json?: boolean;
}

/** What a command has to work with. */
export interface Cli {
  /** The server that was named, as a client. Connects when it is first used. */
  readonly client: ItembankClient;
  /** Where it is, for people. */
  readonly serverUrl: string;
  /** Whether data is to be JSON. */
  readonly json: boolean;
  /** Standard output: data. */
  readonly out: Terminal;
  /** Standard error: all that is said besides. */
  readonly talk: Terminal;
  /** Aborts with an Interrupted. */
  readonly signal: AbortSignal;
  /** Writes a line of data. Waits where nobody reads as fast. */
  write(line: string): Promise<void>;
  /** Writes messages as one JSON array, or what `draw` makes of them. */
  show<M extends Message>(schema: DescMessage, messages: readonly M[], draw: () => string): Promise<void>;
  /** The same for one message, as a JSON object. */
  showOne<M extends Message>(schema: DescMessage, message: M, draw: () => string): Promise<void>;
  /** Closes connections. */
  close(): void;
}

/** Puts together what a command needs. @throws CommandError if the server is not named as one */
export function newCli(command: Command, signal: AbortSignal): Cli {
  const { server, json = false } = command.optsWithGlobals<GlobalOptions>();
  const serverUrl = urlOf(server);
  const out = newTerminal(process.stdout, process.env, "");
  const talk = newTerminal(process.stderr, process.env, "");
  const token = process.env.ITEMBANK_API_KEY;
  let client: ItembankClient | undefined;
  const write = async (line: string) => {
    signal.throwIfAborted();
    if (process.stdout.write(`${line}\n`)) return;
    await new Promise<void>((resolve, reject) => {
      process.stdout.once("drain", resolve);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  };
  return {
    get client() {
      client ??= createItembankClient({
        url: serverUrl,
        userAgent: "itembank-cli",
        // A person is waiting: a server that is not there should be told of soon.
        retry: { callAttempts: 3 },
        ...(token ? { token } : {}),
      });
      return client;
    },
    serverUrl,
    json,
    out,
    talk,
    signal,
    write,
    show: (schema, messages, draw) =>
      write(json ? arrayJson(messages.map((one) => messageJson(schema, one))) : draw()),
    showOne: (schema, message, draw) => write(json ? messageJson(schema, message) : draw()),
    close: () => client?.close(),
  };
}

/** `127.0.0.1:50051`, or a URL for what is behind TLS. */
function urlOf(server: string): string {
  const url = server.includes("://") ? server : `http://${server}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new CommandError(
      `${JSON.stringify(server)} is no address of a server`,
      "Give host:port, or https://host for a server behind TLS.",
    );
  }
  return url;
}
