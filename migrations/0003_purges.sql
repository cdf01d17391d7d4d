-- Items whose content was erased, for good. How it works: docs/storage.md, "Purging".

create table purges (
  dataset_id text collate "C" not null,
  item_id text collate "C" not null,
  purge_time timestamptz not null,
  primary key (dataset_id, item_id)
);

-- How many items of the dataset were purged. Raised under the lock on the row by every first purge of an item: whoever keeps
-- a copy of what a version holds keeps this number with it, and knows by it whether the copy may still be shown.
alter table datasets add column purge_count bigint not null default 0 check (purge_count >= 0);
