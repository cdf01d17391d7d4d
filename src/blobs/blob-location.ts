import { isAbsolute, join } from "node:path";

/** The location of blobs. */
export type BlobLocation =
  | { readonly kind: "directory"; readonly path: string }
  | {
      readonly kind: "s3";
      readonly bucket: string;
      /** The common prefix of all keys: empty, or ending with a slash. */
      readonly prefix: string;
      /** Undefined: left to the SDK, see AWS_ENDPOINT_URL_S3. */
      readonly endpoint: string | undefined;
      /** Undefined: left to the SDK, see AWS_REGION. */
      readonly region: string | undefined;
      /** Whether the bucket is part of the path instead of the host name. */
      readonly pathStyle: boolean;
    };

const expected =
  "expected an absolute path or a URL such as s3://bucket/prefix?endpoint=https://host:9000&region=us-east-1&path_style=true";

/**
 * Reads a location. The empty text means `blobs` within `dataDir`.
 *
 * @throws Error with a message that says what is wrong
 */
export function parseBlobLocation(text: string, dataDir: string): BlobLocation {
  if (text === "") return { kind: "directory", path: join(dataDir, "blobs") };
  if (isAbsolute(text)) return { kind: "directory", path: text };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "s3:" || url.hostname === "") throw new Error(expected);
  if (url.username !== "" || url.password !== "" || url.hash !== "") {
    throw new Error("credentials do not belong here; the SDK takes them from its environment");
  }
  const parameters = new Map(url.searchParams);
  const take = (name: string) => {
    const value = parameters.get(name);
    parameters.delete(name);
    return value;
  };
  const endpoint = take("endpoint");
  const region = take("region");
  const pathStyle = take("path_style") ?? "false";
  if (endpoint !== undefined && !/^https?:\/\/[^/]+/.test(endpoint))
    throw new Error("endpoint is not an http or https URL");
  if (pathStyle !== "true" && pathStyle !== "false") throw new Error("path_style must be true or false");
  const [unknown] = parameters.keys();
  if (unknown !== undefined) throw new Error(`${unknown} is not one of endpoint, region, path_style`);
  const prefix = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, "");
  return {
    kind: "s3",
    bucket: url.hostname,
    prefix: prefix === "" ? "" : `${prefix}/`,
    endpoint,
    region,
    pathStyle: pathStyle === "true",
  };
}
