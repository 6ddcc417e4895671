-- Up Migration

-- Which Postgres this database lies in, and which of its timelines: a promotion begins another one, and so does a restore to a point in time; a
-- cluster that was made anew, for a dump or by pg_upgrade, is another system. The newest row is the one at hand.
create table lineage (
  -- in their order: the clock of a replica may be behind
  id bigint generated always as identity primary key,
  system text,
  timeline text,
  since timestamptz not null default clock_timestamp(),
  -- all messages since have a higher number, and all before lower ones, also those that are lost; null of the first
  sequence bigint
);
comment on table lineage is 'Each Postgres that this database was seen in, after a failover, a restore or an upgrade';
