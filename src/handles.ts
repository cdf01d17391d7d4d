/**
 * Handles: ids of entities that belong to the caller's project. A request names a dataset, run or upload by a text that may
 * belong to any project; a look-up within the project turns it into a handle, and all code below takes handles. So no statement
 * can reach another project's rows by an id from a request. Texts and handles differ for the compiler only; at run time they
 * are the same.
 */

declare const kind: unique symbol;

/** The project that a call works in. Only `projectOf` makes one. */
export type ProjectId = string & { readonly [kind]: "project" };

/** A dataset of the caller's project: its dataset_id. */
export type DatasetHandle = string & { readonly [kind]: "dataset" };

/** A run of the caller's project: its run_id. */
export type RunHandle = string & { readonly [kind]: "run" };

/** An upload of the caller's project: its upload_id. */
export type UploadHandle = string & { readonly [kind]: "upload" };
