-- Reading versions.

-- The newest of the changesets that made this version and those before it. What a version shows is not newer, so that reading
-- an old one passes over what came later without looking at it.
alter table changesets add column newest_changeset_id bigint;
update changesets
set newest_changeset_id = newest.changeset_id
from (
  select dataset_id, version, max(changeset_id) over (partition by dataset_id order by version) as changeset_id
  from changesets
  where version is not null
) newest
where changesets.dataset_id = newest.dataset_id and changesets.version = newest.version;
alter table changesets add check ((newest_changeset_id is null) = (version is null));
alter table changesets add check (newest_changeset_id >= changeset_id);

-- That of the head version, 0 before the first.
alter table datasets add column newest_changeset_id bigint not null default 0;
update datasets
set newest_changeset_id = changesets.newest_changeset_id
from changesets
where changesets.dataset_id = datasets.dataset_id and changesets.version = datasets.head_version;
