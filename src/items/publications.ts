import type { Instant } from "../db/instant.ts";

/** The facts of a version about an item besides its content. */
export interface Provenance {
  /** The version in which the content appeared. */
  readonly version: bigint;
  readonly createTime: Instant;
  readonly updateTime: Instant;
}

/** The publication times of the changesets that a version shows, by changeset_id. */
export class Publications {
  readonly #provenances: ReadonlyMap<number, Provenance>;

  constructor(provenances: ReadonlyMap<number, Provenance>) {
    this.#provenances = provenances;
  }

  /**
   * Returns the provenance of a revision, from the changesets that wrote it and began its item; undefined if the
   * version does not show it.
   */
  provenanceOf(changesetId: number, originId: number): Provenance | undefined {
    const provenance = this.#provenances.get(changesetId);
    const origin = this.#provenances.get(originId);
    return provenance === undefined || origin === undefined || origin === provenance
      ? provenance
      : { ...provenance, createTime: origin.createTime };
  }
}
