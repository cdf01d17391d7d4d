import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { type DescService, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { newGrpcJsClient } from "../support/grpc-js.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

const buf = new URL("../../node_modules/.bin/buf", import.meta.url).pathname;

/** Runs `buf curl` in a folder without a schema. */
async function bufCurl(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(buf, ["curl", "--http2-prior-knowledge", ...args], {
    cwd: tmpdir(),
  });
  return stdout;
}

type Question = ServerReflectionRequest["messageRequest"];

/** Sends several questions on one stream over grpc-js. Both versions have the same fields. */
async function ask(version: DescService, questions: Question[]) {
  const client = newGrpcJsClient(version, service.address);
  const call: grpc.ClientDuplexStream<{ messageRequest: Question }, ServerReflectionResponse> =
    client.ServerReflectionInfo?.();
  const answers: ServerReflectionResponse["messageResponse"][] = [];
  for (const messageRequest of questions) call.write({ messageRequest });
  call.end();
  for await (const { messageResponse } of call) answers.push(messageResponse);
  client.close();
  return answers;
}

/** Returns the names of the files in an answer. */
function fileNames(answer: ServerReflectionResponse["messageResponse"] | undefined): string[] {
  if (answer?.case !== "fileDescriptorResponse") throw new Error(`the answer is ${answer?.case}`);
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
}

describe("buf curl, without a schema", () => {
  test("lists all methods", async () => {
    const methods = (await bufCurl("--list-methods", service.url)).split("\n");
    expect(methods).toContain("itembank.v1.UpsertService/StreamUpsertItems");
    expect(methods).toContain("itembank.v1.SystemService/GetServerInfo");
    expect(methods).toContain("grpc.health.v1.Health/Check");
  });

  test.each(["grpc", "grpcweb", "connect"])("calls GetServerInfo over %s", async (protocol) => {
    const url = `${service.url}/itembank.v1.SystemService/GetServerInfo`;
    expect(JSON.parse(await bufCurl("--protocol", protocol, url))).toMatchObject({
      contentHashAlgorithms: ["sha256-jcs-v1"],
      limits: { maxBatchSize: 1000 },
    });
  });

  test("works over v1alpha as well", async () => {
    expect(await bufCurl("--reflect-protocol", "grpc-v1alpha", "--list-methods", service.url)).toContain(
      "itembank.v1.SystemService/GetServerInfo",
    );
  });
});

describe.each<[string, DescService]>([
  ["v1", ServerReflection],
  ["v1alpha", ServerReflectionV1Alpha],
])("reflection %s, asked by grpc-js", (_, version) => {
  test("lists the services", async () => {
    const [answer] = await ask(version, [{ case: "listServices", value: "*" }]);
    expect(answer).toMatchObject({
      case: "listServicesResponse",
      value: {
        service: expect.arrayContaining([
          expect.objectContaining({ name: "itembank.v1.ItemService" }),
          expect.objectContaining({ name: "grpc.health.v1.Health" }),
          expect.objectContaining({ name: version.typeName }),
        ]),
      },
    });
  });

  test("returns files with their imports, the requested one first", async () => {
    const [answer] = await ask(version, [
      { case: "fileByFilename", value: "itembank/v1/system_service.proto" },
    ]);
    expect(fileNames(answer)).toEqual([
      "itembank/v1/system_service.proto",
      "itembank/v1/limits.proto",
      "google/protobuf/duration.proto",
    ]);
  });

  test.each([
    ["itembank.v1.Item", "itembank/v1/item.proto"],
    ["itembank.v1.Item.item_id", "itembank/v1/item.proto"],
    ["itembank.v1.ItemService", "itembank/v1/item_service.proto"],
    ["itembank.v1.ItemService.GetItem", "itembank/v1/item_service.proto"],
    ["itembank.v1.UPSERT_MODE_MIRROR", "itembank/v1/upsert.proto"],
    ["google.protobuf.Timestamp", "google/protobuf/timestamp.proto"],
    ["google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
    ["itembank.v1.ErrorReason", "itembank/v1/error_reason.proto"],
  ])("finds the symbol %s in %s", async (symbol, file) => {
    const [answer] = await ask(version, [{ case: "fileContainingSymbol", value: symbol }]);
    expect(fileNames(answer)[0]).toBe(file);
  });

  test("returns no numbers of extensions, since there are none", async () => {
    const [answer] = await ask(version, [{ case: "allExtensionNumbersOfType", value: "itembank.v1.Item" }]);
    expect(answer).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: { baseTypeName: "itembank.v1.Item", extensionNumber: [] },
    });
  });

  test("reports unknown names within the stream, and continues", async () => {
    const answers = await ask(version, [
      { case: "fileByFilename", value: "no.proto" },
      { case: "fileContainingSymbol", value: "itembank.v1.Nothing" },
      { case: "allExtensionNumbersOfType", value: "itembank.v1.Nothing" },
      { case: "fileContainingExtension", value: extension("itembank.v1.Item", 1000) },
      { case: "fileContainingExtension", value: extension("itembank.v1.Nothing", 1) },
      { case: undefined },
      { case: "fileContainingSymbol", value: "itembank.v1.Item" },
    ]);
    const code = (answer: (typeof answers)[number]) =>
      answer.case === "errorResponse" ? answer.value.errorCode : 0;
    const { NOT_FOUND, INVALID_ARGUMENT, OK } = grpc.status;
    expect(answers.map(code)).toEqual([
      ...[NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND],
      INVALID_ARGUMENT,
      OK,
    ]);
  });
});

function extension(containingType: string, extensionNumber: number) {
  return { $typeName: "grpc.reflection.v1.ExtensionRequest" as const, containingType, extensionNumber };
}
