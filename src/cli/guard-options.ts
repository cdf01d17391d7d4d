import type { Command } from "commander";
import type { Guards } from "../../clients/typescript/src/node.ts";
import { count, share } from "./option-values.ts";

/** Bounds on the deletions of a mirror. */
export interface GuardOptions {
  readonly maxDelete?: number;
  readonly maxDeleteRatio?: number;
  readonly allowEmpty?: boolean;
}

export function withGuards(command: Command): Command {
  return command
    .option("--max-delete <n>", "refuse to delete more items than this", count)
    .option("--max-delete-ratio <share>", "refuse to delete a larger share of the items: 0.1 or 10%", share)
    .option("--allow-empty", "allow a mirror without rows to empty the dataset");
}

/** Returns the bounds as the client takes them; undefined if there are none. */
export function guardsOf({ maxDelete, maxDeleteRatio, allowEmpty }: GuardOptions): Guards | undefined {
  if (maxDelete === undefined && maxDeleteRatio === undefined && !allowEmpty) return undefined;
  return {
    ...(maxDelete !== undefined && { maxDeleteCount: maxDelete }),
    ...(maxDeleteRatio !== undefined && { maxDeleteRatio }),
    allowEmpty: allowEmpty ?? false,
  };
}
