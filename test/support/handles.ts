import type { DatasetHandle, ProjectId, RunHandle, UploadHandle } from "../../src/handles.ts";

/** The project of all calls. */
export const defaultProject = projectNamed("default");

export function projectNamed(id: string): ProjectId {
  return id as ProjectId;
}

/** The handle of a dataset that a test has created through the service, by the id from the answer. */
export function datasetHandle(datasetId: string): DatasetHandle {
  return datasetId as DatasetHandle;
}

/** The same for a run. */
export function runHandle(runId: string): RunHandle {
  return runId as RunHandle;
}

/** The same for an upload. */
export function uploadHandle(uploadId: string): UploadHandle {
  return uploadId as UploadHandle;
}
