-- Up Migration

-- What looks up a few rows by their keys, at any size of the tables, and is never worth to be compiled, though the planner thinks so.
-- Up to Postgres 17 what enable_seqscan = off leaves no way around costs 10,000,000,000 more, as a table of one row does: 0.3 s of a core for each photo.
alter function tell(bigint[], text) set jit = off;
-- It takes JSON for a hundred objects of a hundred spellings each: some 10 ms of a core each time that something is erased.
alter function forget_objects(jsonb, text) set jit = off;
