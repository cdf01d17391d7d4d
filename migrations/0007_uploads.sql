-- Files that were sent and can become items, once.
--
-- Nothing here is keyed by dataset_id, since a file belongs to none before it is used: these tables stay where those of
-- names are.

create table uploads (
  upload_id text collate "C" primary key,
  project_id text not null references projects,
  request_id uuid not null,
  -- A hash of what it was opened with, to tell a repetition from a reuse of the request_id.
  fingerprint bytea not null,
  state text not null default 'receiving'
    check (state in ('receiving', 'pending', 'processing', 'consumed', 'expired')),
  -- Null where it was not told and could not be found out.
  format text check (format in ('csv', 'json', 'jsonl', 'parquet')),
  content_type text not null,
  filename text not null,
  -- Counts the streams that sent it: only the newest may write.
  stream_number bigint not null default 0,
  size_bytes bigint not null default 0 check (size_bytes >= 0),
  sha256 bytea check (octet_length(sha256) = 32),
  -- Which write is at work on it, and until when it is believed to be alive.
  writer_dataset_id text collate "C",
  writer_request_id uuid,
  lease_expire_time timestamptz,
  -- What it became.
  dataset_id text collate "C",
  version bigint,
  create_time timestamptz not null default now(),
  consume_time timestamptz,
  expire_time timestamptz,
  unique (project_id, request_id),
  check ((state = 'receiving') <= (sha256 is null)),
  check ((state in ('pending', 'processing', 'consumed')) <= (sha256 is not null)),
  check ((state = 'processing') = (writer_dataset_id is not null)),
  check ((state = 'processing') = (writer_request_id is not null)),
  check ((state = 'processing') = (lease_expire_time is not null)),
  check ((state = 'consumed') = (dataset_id is not null)),
  check ((state = 'consumed') = (version is not null)),
  check ((state = 'consumed') = (consume_time is not null)),
  check ((state in ('consumed', 'expired')) = (expire_time is null))
);

-- Newest first, page by page.
create index uploads_by_age on uploads (project_id, create_time desc, upload_id desc);

-- What the sweeper looks for.
create index uploads_by_expiry on uploads (expire_time) where expire_time is not null;

-- The bytes of an upload, as they arrived: each segment is a blob. A row is written when its blob is there, and taken away
-- before or after it; blobs without a row are swept by their names.
create table upload_segments (
  upload_id text collate "C" not null references uploads on delete cascade,
  first_byte bigint not null check (first_byte >= 0),
  size_bytes bigint not null check (size_bytes > 0),
  -- Part of the name of the blob, so that two streams never write under one name.
  stream_number bigint not null,
  primary key (upload_id, first_byte)
);

-- The upload that a write takes its rows from: publishing the one consumes the other.
alter table changesets add column upload_id text collate "C";
