-- Datasets, and the items in them under version control. How it works as a whole: docs/storage.md.
--
-- Everything is keyed by dataset_id first, so that the tables can be distributed by it. What has to be unique beyond a
-- dataset (names) lives in small tables of its own.

create table projects (
  project_id text primary key,
  create_time timestamptz not null
);

insert into projects (project_id, create_time) values ('default', now());

-- Secrets of the installation, shared by all servers on this database.
create table secrets (
  name text primary key,
  value bytea not null
);

-- Signs page tokens. Two random UUIDs hold 244 bits of chance.
insert into secrets (name, value) values ('page_token', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- Answers to calls with a request_id that are not writes to items, for as long as what they wrote.
create table requests (
  project_id text not null references projects,
  request_id uuid not null,
  method text not null,
  fingerprint bytea not null,
  response bytea not null,
  -- What the call wrote: deleting it forgets the answer. Null for deletions, whose answers are kept.
  resource_id text,
  create_time timestamptz not null default now(),
  primary key (project_id, request_id)
);

create index requests_of_resource on requests (resource_id);

create table datasets (
  dataset_id text collate "C" primary key,
  project_id text not null references projects,
  description text not null default '',
  -- JSON, as text: jsonb would refuse U+0000 and reorder members. Null means none.
  metadata text,
  input_schema text,
  expected_output_schema text,
  head_version bigint not null default 0 check (head_version >= 0),
  item_count bigint not null default 0 check (item_count >= 0),
  -- Of the head version: sha256-sum-v1, see DatasetVersion.digest.
  digest bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(digest) = 32),
  etag text not null,
  -- Null while the dataset is only reserved by imports that will create it: no reader sees it then.
  create_time timestamptz,
  update_time timestamptz,
  check ((create_time is null) = (update_time is null)),
  check (create_time is not null or (head_version = 0 and item_count = 0)),
  check (head_version > 0 or item_count = 0)
);

-- Newest first, page by page.
create index datasets_by_age on datasets (project_id, create_time desc, dataset_id desc) where create_time is not null;

create table dataset_names (
  project_id text not null references projects,
  name text collate "C" not null,
  dataset_id text collate "C" not null,
  primary key (project_id, name),
  unique (dataset_id)
);

create table dataset_table_names (
  project_id text not null references projects,
  -- Unique without regard to case.
  table_key text collate "C" not null check (table_key = lower(table_name)),
  table_name text not null,
  dataset_id text collate "C" not null,
  primary key (project_id, table_key),
  unique (dataset_id)
);

create table version_tags (
  dataset_id text collate "C" not null,
  tag text collate "C" not null,
  version bigint not null check (version > 0),
  locked boolean not null default false,
  update_time timestamptz not null,
  primary key (dataset_id, tag)
);

create sequence changeset_ids as bigint;

-- One write to the items of a dataset: first where it collects its rows, then its receipt, for good. The published ones
-- that have a version are the list of versions.
create table changesets (
  dataset_id text collate "C" not null,
  changeset_id bigint not null,
  request_id uuid not null,
  -- The call and a hash of its arguments, to tell a repetition from a reuse of the request_id.
  method text not null,
  fingerprint bytea not null,
  state text not null check (state in ('open', 'planned', 'published', 'discarded')),
  mode text not null check (mode in ('merge', 'mirror', 'edit')),
  replace_splits boolean not null default false,
  validate_only boolean not null default false,
  creates_dataset boolean not null default false,
  -- What the dataset is to look like if the write creates it: JSON.
  new_dataset text,
  expected_version bigint,
  max_delete_count bigint,
  max_delete_ratio double precision,
  allow_empty boolean not null default false,
  -- The version that the counts compare with. Moves forward when the write is compared again with a newer one.
  base_version bigint not null check (base_version >= 0),
  -- What ids that the write assigns begin with.
  item_id_prefix text not null,
  -- Counts the streams of the import: only the newest may write.
  stream_number bigint not null default 0,
  received bigint not null default 0,
  received_bytes bigint not null default 0,
  -- Offered rows whose bodies are wanted and not there.
  missing_bodies bigint not null default 0,
  created bigint not null default 0,
  updated bigint not null default 0,
  unchanged bigint not null default 0,
  deleted bigint not null default 0,
  -- Rows without an item_id. They count as created until they are matched; then these say what became of them.
  unidentified bigint not null default 0,
  unidentified_updated bigint not null default 0,
  unidentified_unchanged bigint not null default 0,
  -- What the rows with an id, and unmatched ones without, add to the digest of the base version.
  digest_change bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(digest_change) = 32),
  -- The version it made; null if nothing had to change. outcome_version is the one readers see as its outcome.
  version bigint check (version > 0),
  outcome_version bigint,
  item_count bigint,
  digest bytea check (octet_length(digest) = 32),
  -- What became of each row, for calls that answer it: in the order of the request.
  row_item_ids text[],
  row_kinds text[],
  note text not null default '',
  author text not null default '',
  create_time timestamptz not null,
  publish_time timestamptz,
  expire_time timestamptz,
  primary key (dataset_id, changeset_id),
  unique (dataset_id, version),
  unique (dataset_id, request_id),
  check (least(received, received_bytes, missing_bodies, created, updated, unchanged, deleted) >= 0),
  check (least(unidentified, unidentified_updated, unidentified_unchanged) >= 0),
  check (unidentified_updated + unidentified_unchanged <= unidentified),
  -- Every row is accounted for.
  check (received = created + updated + unchanged + missing_bodies),
  check (state not in ('planned', 'published') or missing_bodies = 0),
  check ((state = 'published') = (outcome_version is not null)),
  check ((state = 'published') = (publish_time is not null)),
  check ((state in ('open', 'planned')) = (expire_time is not null)),
  -- A version exactly where something changed, and it follows the one it was compared with.
  check (state <> 'published' or (version is not null) = (created + updated + deleted > 0)),
  check (version is null or (state = 'published' and outcome_version = version and version = base_version + 1)),
  check ((version is not null) <= (item_count is not null and digest is not null))
);

-- What the sweeper looks for.
create index changesets_by_expiry on changesets (expire_time) where expire_time is not null;

-- The newest version published at or before a time.
create unique index changesets_by_publish_time on changesets (dataset_id, publish_time) where version is not null;

-- The content of items, as some changeset wrote it. A row is part of version v if its changeset was published as a
-- version up to v and superseded_at is null or greater than v.
--
-- The primary key is the only b-tree that appending touches: a second one would halve the speed of imports. There are no
-- foreign keys for the same reason.
create table item_revisions (
  dataset_id text collate "C" not null,
  item_id text collate "C" not null,
  changeset_id bigint not null,
  superseded_at bigint,
  -- Which row of the write it was, from 0.
  row_number bigint not null,
  -- The changeset that created the item, or brought it back; null if it is this one.
  origin_changeset_id bigint,
  content_hash bytea not null,
  splits text[] collate "C" not null,
  -- Whether the row came without splits, so that it leaves those of the item alone. Only matters until it is published.
  keeps_splits boolean not null,
  -- Null once the item was purged.
  input text,
  expected_output text,
  metadata text,
  primary key (dataset_id, item_id, changeset_id),
  check (octet_length(content_hash) = 32),
  check (input is not null or (expected_output is null and metadata is null))
);

-- What a changeset wrote, for differences and rebasing. A block range index costs appending nothing worth measuring, and
-- the rows of a changeset lie together.
create index item_revisions_by_changeset on item_revisions
  using brin (changeset_id int8_minmax_multi_ops) with (autosummarize = on);

-- What a version replaced or deleted. Holds no current row.
create index item_revisions_by_supersession on item_revisions (dataset_id, superseded_at)
  where superseded_at is not null;

-- Items of the base version for which an open or planned changeset has rows: those it found unchanged, and those it has
-- revisions of. One row for many items keeps a no-op import cheap. Rows for new items are not listed: their revisions tell.
create table changeset_seen (
  dataset_id text collate "C" not null,
  changeset_id bigint not null,
  segment bigint generated always as identity,
  item_ids text[] collate "C" not null,
  row_numbers bigint[] not null,
  -- All ids of the segment lie between these. Segments that do not overlap cannot hold one id twice.
  lowest_item_id text collate "C" not null,
  highest_item_id text collate "C" not null,
  changed boolean not null,
  keeps_splits boolean not null,
  primary key (dataset_id, changeset_id, segment),
  check (cardinality(item_ids) = cardinality(row_numbers))
);

-- Ids compress badly and are read back at once.
alter table changeset_seen alter column item_ids set storage external;
alter table changeset_seen alter column row_numbers set storage external;

-- Offered rows whose bodies are wanted and not there yet.
create table changeset_wants (
  dataset_id text collate "C" not null,
  changeset_id bigint not null,
  row_number bigint not null,
  item_id text collate "C" not null,
  content_hash bytea not null,
  splits text[] collate "C" not null,
  keeps_splits boolean not null,
  primary key (dataset_id, changeset_id, row_number),
  unique (dataset_id, changeset_id, item_id)
);
