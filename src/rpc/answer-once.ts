import {
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Client, Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { failure } from "../failure.ts";
import type { ProjectId } from "../handles.ts";
import { fingerprint } from "./fingerprint.ts";
import { findRequest, insertRequest, type OnceRequest, setResponse } from "./request-store.ts";
import { requestId } from "./request-wire.ts";

/** A call to answer. */
export interface OnceCall<I extends DescMessage, O extends DescMessage> {
  readonly projectId: ProjectId;
  /** `DatasetService.method.createDataset` */
  readonly method: DescMethodUnary<I, O>;
  readonly request: MessageShape<I> & { requestId: string };
}

/** The answer to a call. */
export interface Answer<O extends DescMessage> {
  readonly response: MessageShape<O>;
  /** The resource that the call wrote: when it is deleted, the answer is forgotten. Undefined keeps the answer for good. */
  readonly resourceId: string | undefined;
}

/**
 * Runs `work` in a transaction, so that a request_id makes it idempotent: a repeated call returns the first answer, and
 * of concurrent repetitions one works while the others wait for its answer. A failed call leaves no trace, so repeating
 * it tries again. Without a request_id every call works.
 *
 * The code that deletes a resource must also delete the rows of `requests` with its id.
 *
 * @throws Failure INVALID_FIELD if the request_id is not a UUID; REQUEST_ID_REUSED if it came with another method or
 * content; those of `work`.
 */
export async function answerOnce<I extends DescMessage, O extends DescMessage>(
  pool: Pool,
  { projectId, method, request }: OnceCall<I, O>,
  work: (client: Client) => Promise<Answer<O>>,
): Promise<MessageShape<O>> {
  const id = requestId("request_id", request.requestId);
  if (id === undefined) return transaction(pool, async (client) => (await work(client)).response);
  const once: OnceRequest = {
    projectId,
    requestId: id,
    method: method.name,
    fingerprint: fingerprint(method.input, request),
  };
  return transaction(pool, async (client) => {
    while (!(await insertRequest(client, once))) {
      const first = await findFirstAnswer(client, once);
      if (first !== undefined) return fromBinary(method.output, first);
      // The resource was deleted meanwhile, and the answer with it.
    }
    const { response, resourceId } = await work(client);
    await setResponse(client, once, { response: toBinary(method.output, response), resourceId });
    return response;
  });
}

async function findFirstAnswer(client: Client, once: OnceRequest): Promise<Uint8Array | undefined> {
  const known = await findRequest(client, once);
  if (known === undefined) return undefined;
  if (known.method !== once.method || Buffer.compare(known.fingerprint, once.fingerprint) !== 0) {
    throw failure("REQUEST_ID_REUSED", { request_id: once.requestId });
  }
  return known.response;
}
