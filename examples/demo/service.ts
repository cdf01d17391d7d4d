import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { readConfig } from "../../src/config.ts";
import { newLog } from "../../src/log.ts";
import { startServer } from "../../src/server/start-server.ts";

/** The service, as any client sees it. Disposing of it stops it. */
export interface Service extends AsyncDisposable {
  /** `127.0.0.1:41234` */
  readonly address: string;
  readonly databaseDescription: string;
  /** Returns a client that speaks gRPC over the socket, although the service runs in this process. */
  client<S extends DescService>(service: S): Client<S>;
}

/**
 * Starts the service on a free loopback port. All settings but the address are those of `npm start`; by default the log
 * reports only errors, because it shares the screen with the demo's output.
 *
 * @throws ConfigError, or Error if the database does not start.
 */
export async function startService(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Service> {
  const config = readConfig({ ITEMBANK_LOG_LEVEL: "error", ...environment, ITEMBANK_LISTEN: "127.0.0.1:0" });
  const server = await startServer({ config, log: newLog(config.logLevel) });
  const address = `${server.address.host}:${server.address.port}`;
  const transport = createGrpcTransport({ baseUrl: `http://${address}` });
  return {
    address,
    databaseDescription: server.databaseDescription,
    client: (service) => createClient(service, transport),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
