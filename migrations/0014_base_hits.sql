-- One word for the items of the base version that the rows of a changeset stand for: base hits. And one for how far the cells of a
-- run have been leased: its dispatch position.
alter table changeset_seen rename to changeset_base_hits;
alter table changeset_base_hits rename constraint changeset_seen_pkey to changeset_base_hits_pkey;
alter table changeset_base_hits rename constraint changeset_seen_check to changeset_base_hits_check;

alter table runs rename column dealt_repetition to dispatch_repetition;
alter table runs rename column dealt_item_id to dispatch_item_id;
alter table runs rename constraint runs_dealt_repetition_check to runs_dispatch_repetition_check;
