-- JSON Schemas that items are held to.

-- Identifies both schemas of the dataset, so that writers find theirs compiled without reading them.
alter table datasets
  add column schema_hash bytea check (octet_length(schema_hash) = 32),
  add check ((schema_hash is null) = (input_schema is null and expected_output_schema is null));

-- The schemas that all rows of the write were checked against; null if there were none. Publishing checks them again if those
-- of the dataset are others by then.
alter table changesets
  add column schema_hash bytea check (octet_length(schema_hash) = 32);
