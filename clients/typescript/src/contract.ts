/** The contract: the messages and services that `buf generate` generates. */

export * from "../gen/google/rpc/error_details_pb.js";
export * from "../gen/itembank/v1/comparison_pb.js";
export * from "../gen/itembank/v1/dataset_pb.js";
export * from "../gen/itembank/v1/dataset_service_pb.js";
export * from "../gen/itembank/v1/error_reason_pb.js";
export * from "../gen/itembank/v1/item_pb.js";
export * from "../gen/itembank/v1/item_service_pb.js";
export * from "../gen/itembank/v1/limits_pb.js";
export * from "../gen/itembank/v1/query_service_pb.js";
export * from "../gen/itembank/v1/receipt_pb.js";
export * from "../gen/itembank/v1/result_pb.js";
export * from "../gen/itembank/v1/run_pb.js";
export * from "../gen/itembank/v1/run_service_pb.js";
export * from "../gen/itembank/v1/system_service_pb.js";
export * from "../gen/itembank/v1/upload_pb.js";
export * from "../gen/itembank/v1/upload_service_pb.js";
export * from "../gen/itembank/v1/upsert_pb.js";
export * from "../gen/itembank/v1/upsert_service_pb.js";
export * from "../gen/itembank/v1/work_pb.js";
