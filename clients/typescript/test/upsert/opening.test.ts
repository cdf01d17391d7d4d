import { hash } from "node:crypto";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { newClient } from "../../src/client.ts";
import { DatasetService, SystemService, type UpsertOpen, UpsertService } from "../../src/contract.ts";

test("an upsert names its hash algorithm, so that a server can refuse an unknown one", async () => {
  const opened: (UpsertOpen | undefined)[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(SystemService, { getServerInfo: () => ({ limits: { maxItemBytes: 1000n } }) });
    service(DatasetService, { getDataset: () => ({ dataset: { itemCount: 1n } }) });
    service(UpsertService, {
      // biome-ignore lint/correctness/useYield: it refuses the first frame.
      async *streamUpsertItems(requests) {
        for await (const { frame } of requests) {
          opened.push(frame.case === "open" ? frame.value : undefined);
          throw new ConnectError("unknown", Code.InvalidArgument);
        }
      },
      discardUpsert: () => ({}),
    });
  });
  const platform = {
    sha256: (text: string) => hash("sha256", text, "buffer"),
    byteLength: (text: string) => Buffer.byteLength(text),
    userAgentHeader: "user-agent" as const,
  };
  const client = newClient({ transport, platform, duplex: true, close: () => undefined }, {});
  const upsert = client.upsertDataset({ name: "any", items: [{ itemId: "a", input: 1 }] });
  await expect(upsert).rejects.toThrow("unknown");
  expect(opened).toMatchObject([{ contentHashAlgorithm: "sha256-jcs-v1" }]);
});
