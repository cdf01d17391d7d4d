-- The work on runs: which cells are dealt out to workers, and to whom. How it works: docs/storage.md, "Work".

-- How far the grid of a run has been dealt out, in the order of repetition and item_id: the last cell that was looked at.
-- Null as long as no worker has joined. It lives here because dealing and recording take the lock on this row anyway.
alter table runs
  add column dealt_repetition integer check (dealt_repetition > 0),
  add column dealt_item_id text collate "C",
  -- The last number given to a lease: 1, 2, 3, …
  add column lease_number bigint not null default 0 check (lease_number >= 0),
  add check ((dealt_repetition is null) = (dealt_item_id is null)),
  add check (dealt_repetition is not null or lease_number = 0);

-- The cells of a run that were dealt out and have no success: leased, or waiting to be dealt out again. Cells in front of
-- those that were dealt out are not listed, nor is anything of a run that has ended, so the table stays small however large
-- the grid is. All changes are made under the lock on the run.
create table open_cells (
  dataset_id text collate "C" not null,
  run_id text collate "C" not null,
  item_id text collate "C" not null,
  repetition integer not null check (repetition > 0),
  -- How many results the cell has had: none, or errors.
  attempts integer not null check (attempts >= 0),
  -- The worker that has the cell, or had it last, and the number of its lease. Empty and 0 before the first.
  worker_id text collate "C" not null default '',
  lease_number bigint not null default 0,
  -- When the lease ends. Null while the cell waits.
  deadline timestamptz,
  -- Given back by its worker, so that it goes to another at once.
  released boolean not null default false,
  primary key (dataset_id, run_id, item_id, repetition),
  foreign key (dataset_id, run_id) references runs on delete cascade,
  check ((worker_id = '') = (lease_number = 0)),
  check (deadline is null or (lease_number > 0 and not released))
);

-- What a worker holds, and which leases end next.
create index open_cells_of_worker on open_cells (dataset_id, run_id, worker_id) where deadline is not null;
create index open_cells_by_deadline on open_cells (dataset_id, run_id, deadline) where deadline is not null;

-- Which cells are dealt out next: those given back, then those with the fewest attempts, then those that waited longest.
create index open_cells_waiting on open_cells (dataset_id, run_id, released, attempts, lease_number)
  where deadline is null;

-- The workers of runs that have not ended.
create table run_workers (
  dataset_id text collate "C" not null,
  run_id text collate "C" not null,
  worker_id text collate "C" not null,
  -- Counts the streams under the name: only the newest may work.
  stream_number bigint not null check (stream_number > 0),
  primary key (dataset_id, run_id, worker_id),
  foreign key (dataset_id, run_id) references runs on delete cascade
);
