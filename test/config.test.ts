import { describe, expect, test } from "vitest";
import { ConfigError, readConfig, variables } from "../src/config.ts";

describe("the configuration", () => {
  test("is complete without any variable", () => {
    expect(readConfig({ PATH: "/bin" })).toEqual({
      listen: { host: "127.0.0.1", port: 50051 },
      databaseUrl: undefined,
      dataDir: ".assay",
      insecure: false,
      logLevel: "info",
      databaseConnections: 20,
      importTtlSeconds: 86_400,
      heartbeatSeconds: 15,
      minLeaseSeconds: 5,
      allowedOrigins: [],
      compress: false,
      blobs: { kind: "directory", path: ".assay/blobs" },
      maxUploadBytes: 5 * 1024 ** 3,
      uploadTtlSeconds: 86_400,
      queryProcesses: 4,
      queryMemoryBytes: 512 * 1024 ** 2,
      queryThreads: 2,
      maxQueryRows: 1_000_000,
      maxQueryTimeoutSeconds: 60,
      snapshotBytes: 10 * 1024 ** 3,
    });
  });

  test("takes an empty variable for an unset one", () => {
    const empty = Object.fromEntries([...variables.keys()].map((name) => [name, ""]));
    expect(readConfig(empty)).toEqual(readConfig({}));
  });

  test("names an unknown variable, and the known ones", () => {
    const read = () => readConfig({ ASSAY_DATABASE: "postgres://db" });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow("ASSAY_DATABASE is not a setting");
    expect(read).toThrow("ASSAY_DATABASE_URL");
  });

  test("but for those of the command line", () => {
    expect(readConfig({ ASSAY_SERVER: "127.0.0.1:1", ASSAY_TOKEN: "t" })).toEqual(readConfig({}));
  });

  test.each([
    ["ASSAY_LISTEN", "50051"],
    ["ASSAY_LISTEN", "127.0.0.1:65536"],
    ["ASSAY_LISTEN", "::1:50051"],
    ["ASSAY_LISTEN", "[localhost]:50051"],
    ["ASSAY_DATABASE_URL", "mysql://db/assay"],
    ["ASSAY_DATABASE_URL", "db:5432"],
    ["ASSAY_INSECURE", "yes"],
    ["ASSAY_LOG_LEVEL", "verbose"],
    ["ASSAY_DATABASE_CONNECTIONS", "1"],
    ["ASSAY_DATABASE_CONNECTIONS", "1e2"],
    ["ASSAY_IMPORT_TTL", "0"],
    ["ASSAY_HEARTBEAT_INTERVAL", "-1"],
    ["ASSAY_ALLOWED_ORIGINS", "evals.example.com"],
    ["ASSAY_ALLOWED_ORIGINS", "https://evals.example.com/"],
    ["ASSAY_ALLOWED_ORIGINS", "https://a.example,,https://b.example"],
    ["ASSAY_BLOBS", "blobs"],
    ["ASSAY_BLOBS", "https://bucket/prefix"],
    ["ASSAY_MAX_UPLOAD_BYTES", "1e9"],
    ["ASSAY_UPLOAD_TTL", "0"],
    ["ASSAY_QUERY_PROCESSES", "0"],
    ["ASSAY_QUERY_MEMORY", "512MB"],
    ["ASSAY_QUERY_THREADS", "0"],
    ["ASSAY_MAX_QUERY_ROWS", "9999"],
    ["ASSAY_MAX_QUERY_TIMEOUT", "9"],
    ["ASSAY_SNAPSHOT_BYTES", "-1"],
  ])("names %s when it is %j", (name, value) => {
    const read = () => readConfig({ [name]: value });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(name);
    expect(read).toThrow("expected");
  });

  test("takes IPv6 in brackets", () => {
    expect(readConfig({ ASSAY_LISTEN: "[::1]:0" }).listen).toEqual({ host: "::1", port: 0 });
  });

  test.each(["0.0.0.0:50051", "[::]:50051", "192.168.1.7:50051", "assay.example:50051"])(
    "allows %s only with ASSAY_INSECURE=1",
    (listen) => {
      expect(() => readConfig({ ASSAY_LISTEN: listen })).toThrow("ASSAY_INSECURE=1");
      expect(() => readConfig({ ASSAY_LISTEN: listen, ASSAY_INSECURE: "0" })).toThrow(ConfigError);
      expect(readConfig({ ASSAY_LISTEN: listen, ASSAY_INSECURE: "1" }).insecure).toBe(true);
    },
  );
});
