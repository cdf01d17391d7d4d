-- Runs on the versions of datasets, their results and scores.
--
-- Every key but those of run_ids has dataset_id in it, so that everything else is distributed as the datasets are.

-- Where a run is found by its id alone, and a result by the beginning of its id.
create table run_ids (
  run_id text collate "C" primary key,
  project_id text not null references projects,
  dataset_id text collate "C" not null,
  -- Another name of the run, for run_results.
  run_number bigint generated always as identity unique,
  -- What the ids of its results begin with; the number of the result within the run follows.
  result_id_prefix text collate "C" not null unique
);

create table runs (
  dataset_id text collate "C" not null references datasets,
  run_id text collate "C" not null,
  project_id text not null references projects,
  dataset_version bigint not null check (dataset_version > 0),
  -- In ascending byte order. Empty covers all items.
  splits text[] collate "C" not null,
  repetitions integer not null check (repetitions > 0),
  run_number bigint not null,
  result_id_prefix text collate "C" not null,
  name text not null check (name <> ''),
  description text not null,
  target_type text not null,
  target_id text not null,
  -- JSON, as text: jsonb would refuse U+0000. Null means none.
  metadata text,
  state text not null default 'pending' check (state in ('pending', 'running', 'completed', 'failed', 'cancelled')),
  failure_message text not null default '',
  item_count bigint not null check (item_count > 0),
  expected bigint not null,
  succeeded bigint not null default 0,
  failed bigint not null default 0,
  carried bigint not null default 0,
  -- The last place given to a change of its results: 1, 2, 3, … without gaps, since whoever takes one holds the lock
  -- on this row.
  sequence bigint not null default 0 check (sequence >= 0),
  etag text not null,
  author text not null,
  create_time timestamptz not null,
  start_time timestamptz,
  complete_time timestamptz,
  update_time timestamptz not null,
  primary key (dataset_id, run_id),
  check (expected = item_count * repetitions),
  check (least(succeeded, failed, carried) >= 0),
  check (succeeded + failed <= expected),
  check (carried <= succeeded),
  check ((state = 'pending') = (start_time is null)),
  check ((state in ('completed', 'failed', 'cancelled')) = (complete_time is not null)),
  check (state <> 'pending' or succeeded + failed = 0),
  -- A run without a success never reads as plain completed.
  check (state <> 'completed' or succeeded > 0),
  check (failure_message = '' or state = 'failed')
)
-- Every batch of results rewrites the row; free space on its page keeps that from touching the indexes.
with (fillfactor = 50);

-- Newest first, page by page: of a project, and of a dataset.
create index runs_by_age on runs (project_id, create_time desc, run_id desc);
create index runs_of_dataset on runs (dataset_id, create_time desc, run_id desc);

-- The key is the rule: a label is on at most one run of a dataset.
create table run_labels (
  dataset_id text collate "C" not null,
  label text collate "C" not null,
  run_id text collate "C" not null,
  primary key (dataset_id, label),
  foreign key (dataset_id, run_id) references runs on delete cascade
);

create index run_labels_of_run on run_labels (dataset_id, run_id);

-- What items gave: for each cell (item, repetition) of a run the current result, and those that it replaced.
--
-- Recording touches the two b-trees below and no other. There are no foreign keys to items and runs: recording checks
-- both under the lock on the run, and a check per row would halve its speed.
--
-- The run has two names here, and each b-tree begins with one of them. A new run is in nobody's statistics, so the planner
-- takes it for one of a few rows; if both b-trees began alike, it would look cells up by reading the whole run (measured:
-- 300 results per second, and falling, instead of 29,000). As it is, whoever looks for a cell says run_id, whoever looks
-- for a place says run_number, and neither leaves a choice.
create table run_results (
  dataset_id text collate "C" not null,
  run_id text collate "C" not null,
  run_number bigint not null,
  item_id text collate "C" not null,
  repetition integer not null check (repetition > 0),
  attempt integer not null check (attempt > 0),
  -- The attempt that replaced it. Null for the current result of its cell.
  superseded_by integer,
  -- Its place in the order of changes. Moves when it is scored later.
  sequence bigint not null check (sequence > 0),
  -- Its first place, which its result_id ends in. Never changes.
  number bigint not null check (number > 0),
  item_version bigint not null check (item_version > 0),
  -- The payload of a success, as sent.
  output text,
  -- A failure, as JSON: code, message, stack, of which U+0000 may be part.
  error text,
  start_time timestamptz,
  complete_time timestamptz,
  latency_micros bigint check (latency_micros >= 0),
  retry_count integer not null check (retry_count >= 0),
  trace_id text not null,
  input_tokens bigint check (input_tokens >= 0),
  output_tokens bigint check (output_tokens >= 0),
  cost double precision check (cost >= 0 and cost < 'infinity'),
  -- Null without usage.
  currency text,
  -- SHA-256 of all that makes a result the very same as another: outcome, times, retries, trace and usage.
  fingerprint bytea not null check (octet_length(fingerprint) = 32),
  -- The current scores, as JSON. Null without any. They live here because a result that is scored moves anyway, and is
  -- read with its scores always.
  scores text,
  -- What filters and comparisons need of the scores: the names of those that are no errors, and their values, null where
  -- there is only a label.
  judged text[] collate "C",
  judged_values double precision[],
  carried_from_result_id text,
  create_time timestamptz not null,
  primary key (run_number, sequence, dataset_id),
  -- One current result per cell, and its history in order: null sorts last.
  constraint run_results_of_cell
    unique nulls not distinct (run_id, item_id, repetition, superseded_by, dataset_id),
  check ((output is null) <> (error is null)),
  check (superseded_by > attempt),
  check (number <= sequence),
  check ((judged is null) = (judged_values is null)),
  check (cardinality(judged) = cardinality(judged_values)),
  check (judged is null or scores is not null),
  check (currency is not null or coalesce(input_tokens, output_tokens) is null and cost is null),
  check (scores is null or output is not null)
);

-- Finds by number the results that have moved; the others have it as their sequence.
create unique index run_results_moved on run_results (run_number, number, dataset_id) where number <> sequence;

-- Scores that were replaced.
create table replaced_scores (
  dataset_id text collate "C" not null,
  run_id text collate "C" not null,
  -- Of the result.
  number bigint not null,
  -- The place that the result got when the score was replaced.
  sequence bigint not null,
  name text collate "C" not null,
  -- As in run_results.scores.
  score text not null,
  primary key (dataset_id, run_id, number, sequence, name)
);
