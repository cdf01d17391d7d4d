import { describe, expect, test } from "vitest";
import { parseBlobLocation } from "../../src/blobs/blob-location.ts";

describe("the location of blobs", () => {
  test("is within the data directory by default", () => {
    expect(parseBlobLocation("", "data")).toEqual({ kind: "directory", path: "data/blobs" });
  });

  test("is a directory by its absolute path", () => {
    expect(parseBlobLocation("/var/lib/itembank", "data")).toEqual({
      kind: "directory",
      path: "/var/lib/itembank",
    });
  });

  test("is a bucket, with or without prefix and options", () => {
    expect(parseBlobLocation("s3://bucket", "data")).toEqual({
      kind: "s3",
      bucket: "bucket",
      prefix: "",
      endpoint: undefined,
      region: undefined,
      pathStyle: false,
    });
    const text = "s3://bucket/some/prefix/?endpoint=http://127.0.0.1:9000&region=eu-west-1&path_style=true";
    expect(parseBlobLocation(text, "data")).toEqual({
      kind: "s3",
      bucket: "bucket",
      prefix: "some/prefix/",
      endpoint: "http://127.0.0.1:9000",
      region: "eu-west-1",
      pathStyle: true,
    });
  });

  test.each([
    ["blobs", "expected"],
    ["./blobs", "expected"],
    ["http://host/bucket", "expected"],
    ["s3:///prefix", "expected"],
    ["s3://key:secret@bucket", "credentials do not belong here"],
    ["s3://bucket?endpoint=host:9000", "endpoint"],
    ["s3://bucket?path_style=yes", "path_style"],
    ["s3://bucket?acl=public", "acl is not one of"],
  ])("is refused when it is %j", (text, problem) => {
    expect(() => parseBlobLocation(text, "data")).toThrow(problem);
  });
});
