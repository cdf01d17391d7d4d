import type { Message } from "@bufbuild/protobuf";
import { type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

/** A client of grpc-js, which shares no code with the service, for a service of the generated descriptors. */
export function newGrpcJsClient(
  service: DescService,
  address: string,
): grpc.ServiceClientConstructor["prototype"] {
  const methods = service.methods.map((method) => [method.name, methodDefinition(method)]);
  const Client = grpc.makeClientConstructor(Object.fromEntries(methods), service.typeName);
  return new Client(address, grpc.credentials.createInsecure());
}

function methodDefinition({ parent, name, methodKind, input, output }: DescMethod) {
  return {
    path: `/${parent.typeName}/${name}`,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: (message: Message) => Buffer.from(toBinary(input, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: (message: Message) => Buffer.from(toBinary(output, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  } satisfies grpc.MethodDefinition<Message, Message>;
}
