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

/** The context that a command runs in. */
export interface Cli {
  /** A client of the chosen server. Connects on first use. */
  readonly client: ItembankClient;
  /** The URL of the server, for messages. */
  readonly serverUrl: string;
  /** Whether to write data as JSON. */
  readonly json: boolean;
  /** Standard output: data. */
  readonly out: Terminal;
  /** Standard error: everything else. */
  readonly talk: Terminal;
  /** Aborts with an Interrupted. */
  readonly signal: AbortSignal;
  /** Writes a line of data, and waits while the reader is slower. */
  write(line: string): Promise<void>;
  /** Writes messages as one JSON array, or else the text that `draw` returns. */
  show<M extends Message>(schema: DescMessage, messages: readonly M[], draw: () => string): Promise<void>;
  /** The same for one message, as a JSON object. */
  showOne<M extends Message>(schema: DescMessage, message: M, draw: () => string): Promise<void>;
  /** Closes connections. */
  close(): void;
}

/** Makes the context of a command. @throws CommandError for an invalid server address */
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
        // A user is waiting: report an unreachable server soon.
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

/** Returns the URL of a server that is given as `127.0.0.1:50051`, or as a URL, which TLS needs. */
function urlOf(server: string): string {
  const url = server.includes("://") ? server : `http://${server}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new CommandError(
      `${JSON.stringify(server)} is not a server address`,
      "Use host:port, or https://host for a server with TLS.",
    );
  }
  return url;
}
