import type { Instant } from "../db/instant.ts";

/** What a version tells about an item beside its content. */
export interface Provenance {
  /** In which the content appeared. */
  readonly version: bigint;
  readonly createTime: Instant;
  readonly updateTime: Instant;
}

/** When changesets were published that a version shows, by changeset_id. */
export class Publications {
  readonly #provenances: ReadonlyMap<number, Provenance>;

  constructor(provenances: ReadonlyMap<number, Provenance>) {
    this.#provenances = provenances;
  }

  /** The provenance of a revision, by what wrote it and what began the item; undefined if the version does not show it. */
  provenanceOf(changesetId: number, originId: number): Provenance | undefined {
    const provenance = this.#provenances.get(changesetId);
    const origin = this.#provenances.get(originId);
    return provenance === undefined || origin === undefined || origin === provenance
      ? provenance
      : { ...provenance, createTime: origin.createTime };
  }
}
