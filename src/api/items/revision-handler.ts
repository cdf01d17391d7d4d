import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ItemService,
  ListItemRevisionsResponseSchema,
} from "../../../gen/itembank/v1/item_service_pb.js";
import { projectOf } from "../../auth/project.ts";
import { getDataset } from "../../datasets/dataset-store.ts";
import { snapshot } from "../../db/transaction.ts";
import { failure } from "../../failure.ts";
import { listItemRevisions } from "../../items/revision-store.ts";
import { limits } from "../../limits.ts";
import { pageSize } from "../../rpc/request-wire.ts";
import { datasetRefFromWire } from "../messages/dataset-wire.ts";
import { itemIdFromWire, revisionToWire } from "../messages/item-wire.ts";
import type { Resources } from "../resources.ts";

/** Returns the handler of ItemService for the history of items. */
export function revisionHandler({
  pool,
  pageTokens,
}: Resources): Pick<ServiceImpl<typeof ItemService>, "listItemRevisions"> {
  return {
    async listItemRevisions(request, context) {
      const projectId = projectOf(context);
      const ref = datasetRefFromWire("dataset", request.dataset);
      const itemId = itemIdFromWire("item_id", request.itemId);
      const size = pageSize("page_size", request.pageSize);
      return snapshot(pool, async (client) => {
        const { datasetId, headVersion } = await getDataset(client, projectId, ref);
        const binding = [datasetId, itemId];
        const [before] = request.pageToken
          ? pageTokens.open("page_token", request.pageToken, "ListItemRevisions", binding)
          : [];
        const { revisions, isLast } = await listItemRevisions(client, datasetId, itemId, {
          before: before === undefined ? undefined : BigInt(before),
          entries: size,
          bytes: limits.maxBatchBytes,
        });
        const last = revisions.at(-1);
        if (last === undefined) {
          throw failure("ITEM_NOT_FOUND", { dataset_id: datasetId, item_id: itemId, version: headVersion });
        }
        return create(ListItemRevisionsResponseSchema, {
          revisions: revisions.map(revisionToWire),
          nextPageToken: isLast
            ? ""
            : pageTokens.seal("ListItemRevisions", binding, [last.version.toString()]),
        });
      });
    },
  };
}
