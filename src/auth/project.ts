import type { HandlerContext } from "@connectrpc/connect";
import type { ProjectId } from "../handles.ts";

/** The project that a call works in. There is one, until calls carry credentials. */
export function projectOf(_context: HandlerContext): ProjectId {
  return "default" as ProjectId;
}

/** Whose credentials a call carries: empty, until it carries any. */
export function authorOf(_context: HandlerContext): string {
  return "";
}
