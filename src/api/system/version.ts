import manifest from "../../../package.json" with { type: "json" };

/** The release of this service, a semantic version. */
export const serverVersion: string = manifest.version;
