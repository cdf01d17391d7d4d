import { defineConfig } from "vitest/config";

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
