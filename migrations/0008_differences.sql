-- Differences between versions.

-- What a changeset wrote. The index is on an expression because the primary key holds the column as well: the planner would
-- read all entries of that key for a dataset, which costs as much as the dataset is large. See docs/storage.md.
drop index item_revisions_by_changeset;
create index item_revisions_by_changeset on item_revisions
  using brin ((changeset_id + 0) int8_minmax_multi_ops) with (autosummarize = on);

-- A restore collects what brings the items of an older version back. What it deletes follows from that version.
alter table changesets add column restored_version bigint check (restored_version >= 0);
alter table changesets drop constraint changesets_mode_check;
alter table changesets add constraint changesets_mode_check check (mode in ('merge', 'mirror', 'edit', 'restore'));
alter table changesets add check (restored_version is null or mode = 'restore');
alter table changesets add check (mode <> 'restore' or state = 'open' or restored_version is not null);
