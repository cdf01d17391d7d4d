import type { Instant } from "../db/instant.ts";

/** What a version tells about an item beside its content. */
export interface ItemStamp {
  /** In which the content appeared. */
  readonly version: bigint;
  readonly createTime: Instant;
  readonly updateTime: Instant;
}

/** When changesets were published that a version shows, by changeset_id. */
export class Publications {
  readonly #stamps: ReadonlyMap<number, ItemStamp>;

  constructor(stamps: ReadonlyMap<number, ItemStamp>) {
    this.#stamps = stamps;
  }

  /** The stamp of a revision, by what wrote it and what began the item; undefined if the version does not show it. */
  stampOf(changesetId: number, originId: number): ItemStamp | undefined {
    const stamp = this.#stamps.get(changesetId);
    const origin = this.#stamps.get(originId);
    return stamp === undefined || origin === undefined || origin === stamp
      ? stamp
      : { ...stamp, createTime: origin.createTime };
  }
}
