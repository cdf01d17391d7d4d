import { request } from "node:http";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestService } from "../support/service.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

/** Returns a long answer to a caller that accepts gzip, and its encoding: as sent, before anything decompresses it. */
async function longAnswer(compress: boolean): Promise<{ encoding: string | undefined; body: Buffer }> {
  const service = await startTestService({ database, config: { compress } });
  try {
    const name = `dataset ${compress}`;
    await service
      .client(DatasetService)
      .createDataset({ dataset: { name, description: "long ".repeat(800) } });
    return await new Promise((resolve, reject) => {
      const call = request(
        `${service.url}/itembank.v1.DatasetService/GetDataset`,
        { method: "POST", headers: { "content-type": "application/json", "accept-encoding": "gzip" } },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () =>
            resolve({ encoding: response.headers["content-encoding"], body: Buffer.concat(chunks) }),
          );
        },
      );
      call.on("error", reject);
      call.end(JSON.stringify({ dataset: { name } }));
    });
  } finally {
    await service.close();
  }
}

describe("Answers", () => {
  test("are not compressed unless the service is configured to do so", async () => {
    const { encoding, body } = await longAnswer(false);
    expect(encoding).toBeUndefined();
    expect(JSON.parse(body.toString()).dataset.description).toHaveLength(4000);
  });

  test("are compressed, if configured, for callers that accept it", async () => {
    const { encoding, body } = await longAnswer(true);
    expect(encoding).toBe("gzip");
    expect(body.length).toBeLessThan(1000);
    expect(JSON.parse(gunzipSync(body).toString()).dataset.description).toHaveLength(4000);
  });
});
