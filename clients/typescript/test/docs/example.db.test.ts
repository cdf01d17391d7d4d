import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestService, type TestService } from "../../../../test/support/service.ts";

const run = promisify(execFile);
const repository = join(import.meta.dirname, "../../../..");

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

test("examples/typescript shows a dataset through two versions", async () => {
  const { stdout } = await run(
    process.execPath,
    ["--conditions=@itembank/source", "examples/typescript/main.ts"],
    { cwd: repository, env: { ...process.env, EXAMPLE_URL: service.url } },
  );
  for (const line of [
    /^version 1, 300 items, digest [0-9a-f]{12}…$/m,
    /^cells +600 = \d+ succeeded \+ \d+ failed \+ 0 missing$/m,
    /^plan: 12 created, 9 updated, 6 deleted, 285 unchanged$/m,
    /^version 2: of 306 rows, 18 were sent with their bodies$/m,
    /^once more: nothing to do, no version made$/m,
    /^reader is BETTER than keywords in "correct": 0\.\d{3} \(95 %: /m,
    /^version 1 {2}300 items {2}\+300 ~0 -0 {2}edition 1$/m,
    /^version 2 {2}306 items {2}\+12 ~9 -6 {2}edition 2$/m,
  ]) {
    expect(stdout).toMatch(line);
  }
});
