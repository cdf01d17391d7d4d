import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import { createItembankClient, type ItembankClient } from "../../src/node.ts";

let service: TestService;
let itembank: ItembankClient;

beforeAll(async () => {
  service = await startTestService();
  itembank = createItembankClient({ url: service.url });
});

afterAll(async () => {
  itembank.close();
  await service.close();
});

// This many rows take a while on a small machine.
const timeout = 240_000;

test("a generator of 200,000 rows is never read further ahead than the buffer allows", {
  timeout,
}, async () => {
  const count = 200_000;
  const maxBufferedBytes = 2 * 1024 * 1024;
  let read = 0;
  let taken = 0;
  let furthestAhead = 0;
  async function* rows(revision: number) {
    for (read = 0; read < count; read++) {
      furthestAhead = Math.max(furthestAhead, read - taken);
      yield {
        itemId: `k${read}`,
        input: { question: `${read} ${"x".repeat(80)}`, revision: read % revision },
      };
    }
  }
  const onProgress = ({ rowsTaken }: { rowsTaken: number }) => {
    taken = rowsTaken;
  };
  const first = await itembank.upsertDataset({ name: "large", items: rows(1), maxBufferedBytes, onProgress });
  expect(first).toMatchObject({ version: 1, counts: { received: count, created: count } });
  // A row takes at least 150 bytes, and 1 MiB of slack exceeds everything else in flight.
  const bound = (maxBufferedBytes + 1024 * 1024) / 150;
  expect(furthestAhead).toBeLessThan(bound);
  expect(furthestAhead).toBeGreaterThan(1_000);

  [taken, furthestAhead] = [0, 0];
  let bodiesSent = 0;
  const second = await itembank.upsertDataset({
    name: "large",
    items: rows(100),
    maxBufferedBytes,
    onProgress: (progress) => {
      bodiesSent = progress.bodiesSent;
      onProgress(progress);
    },
  });
  // 0 modulo 100 stays 0.
  expect(second).toMatchObject({
    version: 2,
    counts: { updated: count - count / 100, unchanged: count / 100 },
  });
  expect(bodiesSent).toBe(count - count / 100);
  expect(furthestAhead).toBeLessThan(bound);
});
