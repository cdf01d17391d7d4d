import type { ServiceImpl } from "@connectrpc/connect";
import type { QueryService } from "../../../gen/itembank/v1/query_service_pb.js";
import { projectOf } from "../../auth/project.ts";
import { getDataset } from "../../datasets/dataset-store.ts";
import { exportItems } from "../../query/export-items.ts";
import { runQuery } from "../../query/run-query.ts";
import { resolveVersion } from "../../versions/version-store.ts";
import { datasetRefFromWire } from "../messages/dataset-wire.ts";
import { splitsFromWire } from "../messages/item-wire.ts";
import { selectorFromWire } from "../messages/version-wire.ts";
import type { Resources } from "../resources.ts";
import { exportFormatFromWire, exportFrameToWire, queryFrameToWire, queryFromWire } from "./query-wire.ts";

/** Returns the handlers of QueryService. */
export function queryHandler(resources: Resources): ServiceImpl<typeof QueryService> {
  const { pool, stopping } = resources;
  return {
    async *query(request, context) {
      const begin = performance.now();
      const query = queryFromWire(request, projectOf(context), resources);
      for await (const frame of runQuery(resources, query, AbortSignal.any([context.signal, stopping]))) {
        yield queryFrameToWire(frame, BigInt(Math.round((performance.now() - begin) * 1000)));
      }
    },

    async *exportItems(request, context) {
      const ref = datasetRefFromWire("dataset", request.dataset);
      const at = selectorFromWire("at", request.at);
      const splits = splitsFromWire("splits", request.splits);
      const format = exportFormatFromWire("format", request.format);
      const dataset = await getDataset(pool, projectOf(context), ref);
      const version = await resolveVersion(pool, dataset, at);
      const source = { datasetId: dataset.datasetId, version, splits, format };
      for await (const frame of exportItems(resources, source, AbortSignal.any([context.signal, stopping]))) {
        yield exportFrameToWire(frame);
      }
    },
  };
}
