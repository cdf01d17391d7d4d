-- Runs that were deleted. A run goes in one step, with all that readers see of it; its results, of which there may be millions,
-- follow in small transactions. Until the last of them is gone, the run keeps its row in run_ids, which says so.
alter table run_ids add column delete_time timestamptz;

create index run_ids_by_deletion on run_ids (delete_time) where delete_time is not null;
