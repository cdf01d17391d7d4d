import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/config.ts";
import { explainStart } from "../../src/server/explain-start.ts";

describe("explainStart explains in one line", () => {
  const refused = (address: string) => new Error(`connect ECONNREFUSED ${address}`);
  const inUse = Object.assign(new Error("listen EADDRINUSE"), { code: "EADDRINUSE", port: 50051 });
  test.each([
    ["a bad setting", new ConfigError("X is not a setting"), "X is not a setting"],
    [
      "a port that is in use",
      inUse,
      "port 50051 is in use. Stop the program that uses it, or set ITEMBANK_LISTEN to another address.",
    ],
    [
      "an unreachable host with two addresses",
      new AggregateError([refused("::1:1"), refused("127.0.0.1:1")]),
      "connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1",
    ],
    [
      "a failure, and another one while releasing resources",
      new SuppressedError(new Error("the folder is gone"), refused("::1:1")),
      "connect ECONNREFUSED ::1:1; the folder is gone",
    ],
  ])("%s", (_, error, line) => expect(explainStart(error)).toBe(line));
});
