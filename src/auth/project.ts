import type { HandlerContext } from "@connectrpc/connect";
import type { ProjectId } from "../handles.ts";

/** Returns the project of a call. There is only one until calls carry credentials. */
export function projectOf(_context: HandlerContext): ProjectId {
  return "default" as ProjectId;
}

/** Returns the author of a call: empty until calls carry credentials. */
export function authorOf(_context: HandlerContext): string {
  return "";
}
