import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SystemService } from "../../gen/itembank/v1/system_service_pb.js";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestService, type TestService } from "../support/service.ts";

const origin = "https://evals.example.com";
const method = "/itembank.v1.SystemService/GetServerInfo";

let database: TestDatabase;
let closed: TestService;
let open: TestService;
let openToAll: TestService;

beforeAll(async () => {
  database = await newTestDatabase();
  closed = await startTestService({ database });
  open = await startTestService({ database, config: { allowedOrigins: [origin, "http://localhost:5173"] } });
  openToAll = await startTestService({ database, config: { allowedOrigins: ["*"] } });
});

afterAll(async () => {
  await Promise.all([closed.close(), open.close(), openToAll.close()]);
  await database.drop();
});

/** Sends the preflight request of a browser. */
function preflight(service: TestService, from: string): Promise<Response> {
  return fetch(service.url + method, {
    method: "OPTIONS",
    headers: {
      origin: from,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,connect-protocol-version,content-type",
    },
  });
}

/** Sends a call as a page does. */
async function call(service: TestService, from: string): Promise<Response> {
  const headers = { origin: from, "content-type": "application/json" };
  return fetch(service.url + method, { method: "POST", headers, body: "{}" });
}

const allowedOrigin = (response: Response) => response.headers.get("access-control-allow-origin");

describe("a page of an allowed origin", () => {
  test("gets the allowed methods and headers in a preflight", async () => {
    const response = await preflight(open, origin);
    expect(response.status).toBe(204);
    expect(allowedOrigin(response)).toBe(origin);
    expect(response.headers.get("access-control-allow-methods")).toContain("POST");
    const headers = response.headers.get("access-control-allow-headers")?.toLowerCase().split(", ");
    for (const header of [
      "content-type",
      "connect-protocol-version",
      "connect-timeout-ms",
      "authorization",
      "x-user-agent",
      "x-grpc-web",
    ]) {
      expect(headers).toContain(header);
    }
    expect(response.headers.get("access-control-allow-credentials")).toBeNull();
    expect(response.headers.get("vary")).toBe("origin");
  });

  test("may read the answer, and the details of errors", async () => {
    const response = await call(open, "http://localhost:5173");
    expect(response.status).toBe(200);
    expect(allowedOrigin(response)).toBe("http://localhost:5173");
    expect(response.headers.get("access-control-expose-headers")?.toLowerCase()).toContain(
      "grpc-status-details-bin",
    );
    expect(await response.json()).toMatchObject({ digestAlgorithm: "sha256-sum-v1" });
  });

  test.each<[string, (baseUrl: string) => Transport]>([
    ["Connect", (baseUrl) => createConnectTransport({ baseUrl })],
    ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl })],
  ])("calls by %s", async (_, transport) => {
    const info = await createClient(SystemService, transport(open.url)).getServerInfo(
      {},
      { headers: { origin } },
    );
    expect(info.contentHashAlgorithms).toEqual(["sha256-jcs-v1"]);
  });

  test("of any origin with *", async () => {
    expect(allowedOrigin(await preflight(openToAll, "https://elsewhere.example"))).toBe("*");
    expect(allowedOrigin(await call(openToAll, "https://elsewhere.example"))).toBe("*");
  });
});

describe("a page of another origin", () => {
  test.each(["https://evil.example", "https://evals.example.com.evil.example", "null"])(
    "%s hears nothing",
    async (from) => {
      const asked = await preflight(open, from);
      expect([asked.ok, allowedOrigin(asked)]).toEqual([false, null]);
      expect(allowedOrigin(await call(open, from))).toBeNull();
    },
  );

  test("gets no permission from a service without the setting", async () => {
    const asked = await preflight(closed, origin);
    expect([asked.ok, allowedOrigin(asked), asked.headers.get("vary")]).toEqual([false, null, null]);
    expect(allowedOrigin(await call(closed, origin))).toBeNull();
  });
});
