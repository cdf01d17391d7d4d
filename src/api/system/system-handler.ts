import type { ServiceImpl } from "@connectrpc/connect";
import type { SystemService } from "../../../gen/itembank/v1/system_service_pb.js";
import { contentHashAlgorithm } from "../../items/content-hash.ts";
import type { Resources } from "../resources.ts";
import { limitsToWire } from "./system-wire.ts";
import { serverVersion } from "./version.ts";

/** The handlers of SystemService. */
export function systemHandler(resources: Resources): ServiceImpl<typeof SystemService> {
  const serverInfo = {
    serverVersion,
    contentHashAlgorithms: [contentHashAlgorithm],
    digestAlgorithm: "sha256-sum-v1",
    limits: limitsToWire(resources),
  };
  return {
    getServerInfo: () => serverInfo,
  };
}
