/**
 * Where an exported Parquet file names its layout, in its key-value metadata, and the layout of the exports of this release:
 * the columns item_id, input, expected_output, metadata and splits, with payloads that are JSON texts.
 */
export const exportLayoutKey = "itembank.layout";
export const exportLayout = "items-1";
