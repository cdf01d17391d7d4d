import { connect, createServer, type Socket } from "node:net";

/** Stands between a client and a service, and hurts one of them in the middle of what the client sends. */
export interface CuttingProxy {
  /** `http://127.0.0.1:…`, the same for all services behind it. */
  readonly url: string;
  /** Where connections go from now on. */
  target: URL;
  /** Cuts all connections, without a word to either side. */
  cut(): void;
  /** Calls `strike` once that many more bytes of the client have been passed on; it may fall anywhere in a frame. */
  strikeAfter(bytes: number, strike: () => void): void;
  close(): Promise<void>;
}

export async function newCuttingProxy(target: URL): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  let countdown: { bytes: number; strike: () => void } | undefined;
  const proxy = { target };

  const server = createServer((client) => {
    const upstream = connect(Number(proxy.target.port), proxy.target.hostname);
    const both = [client, upstream];
    for (const socket of both) {
      sockets.add(socket.setNoDelay());
      // Broken connections are what the proxy is for. The other side gets to know as if there were no proxy.
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        for (const other of both) other.destroy();
      });
    }
    upstream.pipe(client);
    client.on("data", (chunk: Buffer) => {
      const passed = countdown === undefined ? chunk.length : Math.min(countdown.bytes, chunk.length);
      if (!upstream.write(chunk.subarray(0, passed))) {
        client.pause();
        upstream.once("drain", () => client.resume());
      }
      if (countdown === undefined) return;
      countdown.bytes -= passed;
      if (countdown.bytes > 0) return;
      const { strike } = countdown;
      countdown = undefined;
      strike();
      if (!upstream.destroyed) upstream.write(chunk.subarray(passed));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");

  return Object.assign(proxy, {
    url: `http://127.0.0.1:${address.port}`,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    strikeAfter(bytes: number, strike: () => void) {
      countdown = { bytes, strike };
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
