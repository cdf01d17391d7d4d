import { defineConfig } from "vitest/config";
import { v8Flags } from "./src/server/v8-flags.ts";

/**
 * Suites that need no database run once. The others run on the embedded PostgreSQL and, where TEST_DATABASE_URL names
 * one, on that server as well: it has to allow creating databases.
 */
const onDatabase = ["test/**/*.db.test.ts", "clients/typescript/test/**/*.db.test.ts"];
const all = ["test/**/*.test.ts", "clients/typescript/test/**/*.test.ts"];

export default defineConfig({
  test: {
    // Two workers at a time, as many as the smallest machine this is meant for has cores.
    maxWorkers: 2,
    // Suites run the service in their own process, with the flags that it has in one of its own.
    execArgv: [...v8Flags],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: { name: "rules", include: all, exclude: onDatabase },
      },
      {
        extends: true,
        test: {
          name: "embedded",
          include: onDatabase,
          globalSetup: "test/support/embedded-server.ts",
        },
      },
      ...(process.env.TEST_DATABASE_URL
        ? [
            {
              extends: true as const,
              test: {
                name: "external",
                include: onDatabase,
                globalSetup: "test/support/external-server.ts",
              },
            },
          ]
        : []),
    ],
  },
});
