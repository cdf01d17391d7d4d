import type { DescFile, DescService } from "@bufbuild/protobuf";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequest,
} from "../../gen/grpc/reflection/v1/reflection_pb.js";
import {
  type ServerReflectionRequest as ServerReflectionRequestV1Alpha,
  ServerReflection as ServerReflectionV1Alpha,
} from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { type DescriptorIndex, indexDescriptors } from "./descriptor-index.ts";

/**
 * Registers server reflection, v1 and v1alpha, so that clients such as `buf curl` and grpcurl need no schema. It
 * describes `services`, itself, and `details`: files that no service imports, but that clients need to read its errors.
 * Unknown names are errors within the stream, which continues.
 */
export function reflectionRoutes(
  services: readonly DescService[],
  details: readonly DescFile[],
): (router: ConnectRouter) => void {
  const index = indexDescriptors([...services, ServerReflection, ServerReflectionV1Alpha], details);
  return (router) => {
    router.service(ServerReflection, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) yield respond(index, request);
      },
    });
    router.service(ServerReflectionV1Alpha, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) yield respond(index, request);
      },
    });
  };
}

/** Answers a request of either version; they differ only in their names. */
function respond<R extends ServerReflectionRequest | ServerReflectionRequestV1Alpha>(
  index: DescriptorIndex,
  request: R,
) {
  return {
    validHost: request.host,
    originalRequest: request,
    messageResponse: answer(index, request.messageRequest),
  };
}

function answer(
  index: DescriptorIndex,
  question: (ServerReflectionRequest | ServerReflectionRequestV1Alpha)["messageRequest"],
) {
  switch (question.case) {
    case "listServices":
      return {
        case: "listServicesResponse" as const,
        value: { service: index.serviceNames.map((name) => ({ name })) },
      };
    case "fileByFilename":
      return files(index.findFile(question.value), `file ${question.value}`);
    case "fileContainingSymbol":
      return files(index.findFileOfSymbol(question.value), `symbol ${question.value}`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      return files(
        index.findFileOfExtension(containingType, extensionNumber),
        `extension ${extensionNumber} of ${containingType}`,
      );
    }
    case "allExtensionNumbersOfType": {
      const extensionNumber = index.findExtensionNumbers(question.value);
      return extensionNumber === undefined
        ? error(Code.NotFound, `there is no message ${question.value}`)
        : {
            case: "allExtensionNumbersResponse" as const,
            value: { baseTypeName: question.value, extensionNumber },
          };
    }
    default:
      return error(Code.InvalidArgument, "the request has no content");
  }
}

function files(fileDescriptorProto: Uint8Array[] | undefined, what: string) {
  return fileDescriptorProto === undefined
    ? error(Code.NotFound, `there is no ${what}`)
    : { case: "fileDescriptorResponse" as const, value: { fileDescriptorProto } };
}

function error(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse" as const, value: { errorCode, errorMessage } };
}
