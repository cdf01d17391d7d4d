import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import { QueryService } from "../../gen/itembank/v1/query_service_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import { SystemService } from "../../gen/itembank/v1/system_service_pb.js";
import { UploadService } from "../../gen/itembank/v1/upload_service_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import { datasetHandler } from "../api/datasets/dataset-handler.ts";
import { itemHandler } from "../api/items/item-handler.ts";
import { queryHandler } from "../api/queries/query-handler.ts";
import type { Resources } from "../api/resources.ts";
import { runHandler } from "../api/runs/run-handler.ts";
import { systemHandler } from "../api/system/system-handler.ts";
import { uploadHandler } from "../api/uploads/upload-handler.ts";
import { upsertHandler } from "../api/upserts/upsert-handler.ts";

/** The services of the contract. */
export const services: readonly DescService[] = [
  DatasetService,
  ItemService,
  UpsertService,
  RunService,
  UploadService,
  QueryService,
  SystemService,
];

/** Registers the handlers of all services. A method without one answers UNIMPLEMENTED. */
export function routes(resources: Resources): (router: ConnectRouter) => void {
  return (router) => {
    router.service(DatasetService, datasetHandler(resources));
    router.service(ItemService, itemHandler(resources));
    router.service(UpsertService, upsertHandler(resources));
    router.service(RunService, runHandler(resources));
    router.service(UploadService, uploadHandler(resources));
    router.service(QueryService, queryHandler(resources));
    router.service(SystemService, systemHandler(resources));
  };
}
