import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { startTestService, type TestService } from "../support/service.ts";
import { DatasetUnderTest } from "./dataset-under-test.ts";
import { writesArbitrary } from "./dataset-writes.ts";

/** The number of sequences of writes; TEST_SEED repeats a failed run. */
const sequences = Number(process.env.TEST_WRITES ?? 25);
const seed = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 31);

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

describe("any sequence of writes", () => {
  test("leaves every version, every difference and every history as in the model", async () => {
    let names = 0;
    const pairs = fc.infiniteStream(fc.nat(1_000));
    const property = fc.asyncProperty(writesArbitrary, pairs, async (writes, random) => {
      const dataset = await DatasetUnderTest.create(service, `dataset ${++names}`);
      const any = (count: number) => (random.next().value ?? 0) % count;
      for (const write of writes) {
        await dataset.do(write);
        await dataset.expectVersions();
        const { length } = dataset.model.versions;
        await dataset.expectDiff(any(length), any(length));
        await dataset.expectHistory(`k${any(7)}`);
      }
    });
    await fc.assert(property, { seed, numRuns: sequences });
  }, 300_000);
});
