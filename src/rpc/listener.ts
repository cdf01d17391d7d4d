import { createServer as createHttp1Server, type IncomingMessage, type ServerResponse } from "node:http";
import {
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer, type Socket } from "node:net";
import type { ListenAddress } from "../config.ts";

/** What answers a request, of HTTP/1.1 or HTTP/2. */
export type RequestHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

/**
 * A port that is open. Disposing of it takes no more connections and ends those there are, the idle ones first, within half a
 * second.
 */
export interface Listener extends AsyncDisposable {
  /** Where it listens: with the port that the system chose, if it was left to it. */
  readonly address: ListenAddress;
  /** Resolves when no request is being answered, or after `milliseconds`. */
  idle(milliseconds: number): Promise<void>;
}

/** What an HTTP/2 client sends first (RFC 9113, section 3.4). No HTTP/1.1 request begins like it. */
const http2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * Bytes of a stream and of a connection that may be under way unacknowledged. The default of 64 KiB stalls uploads on
 * every round trip; more than this only buys memory use.
 */
const windowBytes = 16 * 1024 * 1024;

/** Calls at once on one connection. Clients that want more open another; without a bound one client could take all memory. */
const maxConcurrentStreams = 1_000;

/** Megabytes that one connection may have queued, windows included. Node's default of 10 is less than one window. */
const maxSessionMemory = 256;

/** How long a connection may be silent before it sends its first request. Honest clients send at once. */
const firstBytesTimeout = 10_000;

/**
 * How long a connection of HTTP/1.1 may wait for its next request. Longer than proxies keep theirs, mostly 60 seconds, so that
 * it is they who close them: a request that meets a connection which is being closed fails.
 */
const http1KeepAlive = 75_000;

/** Silence after which the system asks whether the peer of a connection is still there. */
const keepAliveDelay = 60_000;

/** How long connections get to say goodbye when the port closes. The calls on them are over. */
const closeMilliseconds = 500;

/**
 * Opens one port for HTTP/2 without TLS (prior knowledge) and HTTP/1.1: the first bytes of a connection tell which.
 *
 * @throws Error EADDRINUSE, EADDRNOTAVAIL, EACCES and their like if the address cannot be had.
 */
export async function listen({ host, port }: ListenAddress, handle: RequestHandler): Promise<Listener> {
  const sockets = new Set<Socket>();
  // Those that neither a session nor a request of HTTP/1.1 uses.
  const idleSockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  let requests = 0;
  let closing = false;
  let becameIdle: (() => void) | undefined;

  const onRequest: RequestHandler = (request, response) => {
    requests++;
    response.once("close", () => {
      requests--;
      if (requests === 0) becameIdle?.();
    });
    try {
      handle(request, response);
    } catch {
      // The address of the request does not parse (an HTTP/1.0 request without a host, `host: [`): thrown from an event,
      // that would end the process.
      response.statusCode = 400;
      response.end();
    }
  };
  const onHttp1Request = (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    idleSockets.delete(socket);
    response.once("close", () => {
      if (closing) socket.end();
      else if (!socket.destroyed) idleSockets.add(socket);
    });
    onRequest(request, response);
  };

  // Neither server listens: they get connections from the one below.
  const http1 = createHttp1Server({ keepAliveTimeout: http1KeepAlive }, onHttp1Request);
  const http2 = createHttp2Server(
    { settings: { initialWindowSize: windowBytes, maxConcurrentStreams }, maxSessionMemory },
    (request, response) => {
      letGo(response.stream);
      onRequest(request, response);
    },
  );
  http2.on("session", (session) => {
    session.setLocalWindowSize(windowBytes);
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  // A broken session closes its own streams; without a listener the error would end the process.
  http2.on("sessionError", () => undefined);

  const server = createServer(
    { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveDelay },
    (socket) => {
      sockets.add(socket);
      idleSockets.add(socket);
      socket.once("close", () => {
        sockets.delete(socket);
        idleSockets.delete(socket);
      });
      sniff(socket, (isHttp2) => {
        if (isHttp2) {
          // An HTTP/2 session reads what was put back and then the handle beneath the socket, which must not flow.
          idleSockets.delete(socket);
          http2.emit("connection", socket);
        } else {
          http1.emit("connection", socket);
          socket.resume();
        }
      });
    },
  );

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the system gave no port");

  return {
    address: { host, port: bound.port },
    idle(milliseconds) {
      if (requests === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        becameIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
    [Symbol.asyncDispose]() {
      closing = true;
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, closeMilliseconds);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        for (const session of sessions) session.close();
        for (const socket of idleSockets) socket.destroy();
      });
    },
  };
}

/**
 * How long a client that has its answer may go on sending before its stream is reset. A reset makes some clients drop what
 * they have not read yet, the error among it; and a stop of the service waits as long for a client that never ends.
 */
const lateMilliseconds = 1_000;

/**
 * Lets go of a call that is answered before all of it has arrived: what comes late is dropped, and a client that does not
 * end by itself is asked to stop (RFC 9113, section 8.1). Else the stream would stay open, with a window of data.
 */
function letGo(stream: ServerHttp2Stream): void {
  stream.once("finish", () => {
    stream.removeAllListeners("data").resume();
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), lateMilliseconds);
    stream.once("close", () => clearTimeout(timer));
  });
}

/**
 * Reads as much of a new connection as it takes to tell HTTP/2 from HTTP/1.1, puts it back and reports. A connection
 * that sends nothing for too long, or ends before, is closed.
 */
function sniff(socket: Socket, report: (isHttp2: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), firstBytesTimeout);
  const giveUp = () => socket.destroy();
  const stop = () => {
    clearTimeout(timer);
    socket.off("data", onData).off("error", giveUp).off("end", giveUp).off("close", stop);
  };
  const onData = (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.length, http2Preface.length);
    const matches = seen.subarray(0, compared).equals(http2Preface.subarray(0, compared));
    if (matches && compared < http2Preface.length) return;
    stop();
    socket.pause();
    socket.unshift(seen);
    report(matches);
  };
  socket.on("data", onData).on("error", giveUp).on("end", giveUp).on("close", stop);
}
