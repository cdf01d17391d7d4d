import { Code } from "@connectrpc/connect";
import { Backoff } from "../rpc/backoff.ts";
import type { Connection } from "../rpc/connection.ts";
import { ItembankError } from "../rpc/error.ts";

/**
 * Reads a stream to its last frame, and reopens it where it broke.
 *
 * @param open opens the stream after the frames that have arrived
 * @param isLast whether a frame is the last one; a stream that ends without it was cut off
 * @throws ItembankError of the service; the reason of the signal
 */
export async function* resumed<Frame>(
  { retry }: Pick<Connection, "retry">,
  open: () => AsyncIterable<Frame>,
  isLast: (frame: Frame) => boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<Frame> {
  const backoff = new Backoff(retry, retry.resumeAttempts);
  for (;;) {
    try {
      for await (const frame of open()) {
        backoff.succeeded();
        yield frame;
        if (isLast(frame)) return;
      }
      throw new ItembankError("the stream ended without its last frame", {
        code: Code.Unavailable,
        retryable: true,
      });
    } catch (error) {
      await backoff.wait(error, signal);
    }
  }
}
