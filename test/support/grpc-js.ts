import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

/** A request as plain data. */
type Init = MessageInitShape<DescMessage>;

/**
 * Makes a grpc-js client, which shares no code with the service, for a service of the generated descriptors. Requests
 * may be plain data.
 */
export function newGrpcJsClient(service: DescService, address: string): InstanceType<GrpcJsClient> {
  const methods = service.methods.map((method) => [method.name, methodDefinition(method)]);
  const Client = grpc.makeClientConstructor(Object.fromEntries(methods), service.typeName);
  return new Client(address, grpc.credentials.createInsecure());
}

type GrpcJsClient = ReturnType<typeof grpc.makeClientConstructor>;

function methodDefinition({ parent, name, methodKind, input, output }: DescMethod) {
  return {
    path: `/${parent.typeName}/${name}`,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: (message: Init) => Buffer.from(toBinary(input, create(input, message))),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: (message: Init) => Buffer.from(toBinary(output, create(output, message))),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  } satisfies grpc.MethodDefinition<Init, Message>;
}

/** The reason of an error, from the details in its trailers. */
export function reasonOf(error: grpc.ServiceError | undefined): string | undefined {
  const [details] = error?.metadata.get("grpc-status-details-bin") ?? [];
  return /ERROR_REASON_([A-Z_]+)/.exec(Buffer.from(details ?? "").toString("latin1"))?.[1];
}
