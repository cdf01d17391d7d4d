import { connect, createServer, type Socket } from "node:net";

/** A proxy between a client and a service that can disrupt either in the middle of a message of the client. */
export interface CuttingProxy {
  /** The address of the proxy, `http://127.0.0.1:…`, which stays the same when `target` changes. */
  readonly url: string;
  /** The service to which new connections go. */
  target: URL;
  /** Destroys all connections, without notice to either side. */
  cut(): void;
  /** Calls `strike` once this many more bytes of the client have been forwarded, which may be anywhere in a frame. */
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
      // Broken connections are expected. The other side notices them as it would without the proxy.
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
