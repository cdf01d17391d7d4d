-- Versions as Parquet files in the storage of files, which answer SQL. How it works: docs/storage.md, "Snapshots".
--
-- A file may be there only while its row is, so that none is forgotten: the row comes first and goes last.
create table snapshots (
  dataset_id text collate "C" not null,
  version bigint not null check (version >= 0),
  -- datasets.purge_count when the file was made. The file holds what was erased since, so it is of no more use once that has
  -- moved on.
  purge_count bigint not null check (purge_count >= 0),
  -- Null while the file is being made.
  size_bytes bigint check (size_bytes > 0),
  -- When it was last needed, to within some minutes.
  use_time timestamptz not null,
  primary key (dataset_id, version, purge_count)
);
