import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  CreateDatasetResponseSchema,
  DatasetService,
  DeleteDatasetResponseSchema,
  GetDatasetResponseSchema,
  ListDatasetsResponseSchema,
  UpdateDatasetResponseSchema,
} from "../../../gen/itembank/v1/dataset_service_pb.js";
import { projectOf } from "../../auth/project.ts";
import { createDataset } from "../../dataset-calls/create-dataset.ts";
import { deleteDataset } from "../../dataset-calls/delete-dataset.ts";
import { updateDataset } from "../../dataset-calls/update-dataset.ts";
import { maxDatasetNameLength } from "../../datasets/dataset.ts";
import { getDataset, listDatasets } from "../../datasets/dataset-store.ts";
import { answerOnce } from "../../rpc/answer-once.ts";
import { boundedText, pageSize } from "../../rpc/request-wire.ts";
import {
  datasetPatchFromWire,
  datasetRefFromWire,
  datasetToWire,
  datasetViewFromWire,
  newDatasetFromWire,
  positionFromToken,
  positionToToken,
} from "../messages/dataset-wire.ts";
import type { Resources } from "../resources.ts";
import { diffHandler } from "./diff-handler.ts";
import { restoreHandler } from "./restore-handler.ts";
import { versionHandler } from "./version-handler.ts";

const { method } = DatasetService;

/** Returns the handlers of DatasetService: those of datasets here; the others from the handlers beside this one. */
export function datasetHandler(resources: Resources): Partial<ServiceImpl<typeof DatasetService>> {
  const { pool, pageTokens } = resources;
  return {
    ...versionHandler(resources),
    ...diffHandler(resources),
    ...restoreHandler(resources),

    async createDataset(request, context) {
      const projectId = projectOf(context);
      const definition = newDatasetFromWire(request);
      return answerOnce(pool, { projectId, method: method.createDataset, request }, async (client) => {
        const dataset = await createDataset(client, projectId, definition);
        return {
          response: create(CreateDatasetResponseSchema, { dataset: datasetToWire(dataset) }),
          resourceId: dataset.datasetId,
        };
      });
    },

    async getDataset(request, context) {
      const ref = datasetRefFromWire("dataset", request.dataset);
      const dataset = await getDataset(pool, projectOf(context), ref);
      return create(GetDatasetResponseSchema, { dataset: datasetToWire(dataset) });
    },

    async listDatasets(request, context) {
      const projectId = projectOf(context);
      const size = pageSize("page_size", request.pageSize);
      const namePrefix = boundedText("name_prefix", request.namePrefix, 0, maxDatasetNameLength);
      const view = datasetViewFromWire("view", request.view);
      const binding = [projectId, namePrefix, view];
      const after = request.pageToken
        ? positionFromToken(pageTokens.open("page_token", request.pageToken, "ListDatasets", binding))
        : undefined;
      const query = { namePrefix, view, after, limit: size };
      const { rows: page, more } = await listDatasets(pool, projectId, query);
      const last = page.at(-1);
      return create(ListDatasetsResponseSchema, {
        datasets: page.map(datasetToWire),
        nextPageToken: more && last ? pageTokens.seal("ListDatasets", binding, positionToToken(last)) : "",
      });
    },

    async updateDataset(request, context) {
      const projectId = projectOf(context);
      const ref = datasetRefFromWire("dataset", request.dataset);
      const { patch, etag } = datasetPatchFromWire(request);
      return answerOnce(pool, { projectId, method: method.updateDataset, request }, async (client) => {
        const dataset = await updateDataset(client, { projectId, ref, etag, signal: context.signal }, patch);
        return {
          response: create(UpdateDatasetResponseSchema, { dataset: datasetToWire(dataset) }),
          resourceId: dataset.datasetId,
        };
      });
    },

    async deleteDataset(request, context) {
      const projectId = projectOf(context);
      const ref = datasetRefFromWire("dataset", request.dataset);
      const { etag, force } = request;
      return answerOnce(pool, { projectId, method: method.deleteDataset, request }, async (client) => {
        const deletedRunCount = await deleteDataset(client, { projectId, ref, etag, force });
        return {
          response: create(DeleteDatasetResponseSchema, { deletedRunCount }),
          resourceId: undefined,
        };
      });
    },
  };
}
