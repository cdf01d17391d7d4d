import { Code, ConnectError, type Interceptor, type StreamResponse } from "@connectrpc/connect";
import { failure } from "../failure.ts";
import type { Logger } from "../log.ts";
import { toConnectError } from "./errors.ts";
import { untilStopped } from "./streams.ts";

/**
 * Wraps every call: errors take the form that the contract promises, streams end when the service stops or the client
 * disconnects, and the log gets one line. A call that arrives while the service stops is refused with SHUTTING_DOWN.
 */
export function callInterceptor(log: Logger, stopping: AbortSignal): Interceptor {
  return (next) => async (request) => {
    const { signal } = request;
    const method = `${request.service.typeName}/${request.method.name}`;
    const begin = performance.now();
    const finish = (error?: ConnectError) => {
      const milliseconds = Math.round((performance.now() - begin) * 1000) / 1000;
      const line = { method, code: error === undefined ? "ok" : codeName(error.code), milliseconds };
      if (error === undefined) log.debug(line, "call");
      else if (error.code === Code.Internal) log.error({ ...line, error: error.message }, "call");
      else log.info({ ...line, error: error.rawMessage }, "call");
    };
    const failed = (thrown: unknown) => {
      const error = toConnectError(thrown, log, { method, signal });
      finish(error);
      return error;
    };

    try {
      if (stopping.aborted) throw failure("SHUTTING_DOWN", {});
      const response = await next(
        request.stream ? { ...request, message: untilStopped(request.message, stopping, signal) } : request,
      );
      if (!response.stream) {
        finish();
        return response;
      }
      // A server stream only reads, so it can be cut between any two frames. The output of a bidirectional stream
      // continues until its handler, whose input has ended, is done: it may be about to acknowledge its writes.
      const output =
        response.method.methodKind === "server_streaming"
          ? untilStopped(response.message, stopping, signal)
          : response.message;
      return { ...response, message: watched(output, finish, failed) } satisfies StreamResponse;
    } catch (error) {
      throw failed(error);
    }
  };
}

/** Passes a stream on and reports how it ended. The errors of a stream are thrown here, long after the call was opened. */
async function* watched<T>(
  output: AsyncIterable<T>,
  finish: () => void,
  failed: (thrown: unknown) => ConnectError,
): AsyncIterable<T> {
  let over = false;
  try {
    yield* output;
    over = true;
    finish();
  } catch (error) {
    over = true;
    throw failed(error);
  } finally {
    // The client has cancelled the call or disconnected.
    if (!over) failed(new ConnectError("the call was cancelled", Code.Canceled));
  }
}

/** Refuses every call with DATABASE_UNAVAILABLE, until the database is ready. */
export const notReadyInterceptor: Interceptor = () => () =>
  Promise.reject(failure("DATABASE_UNAVAILABLE", {}));

function codeName(code: Code): string {
  return Code[code].replace(/[A-Z]/g, (letter, at) => (at > 0 ? "_" : "") + letter.toLowerCase());
}
