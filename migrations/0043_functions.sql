-- Up Migration

-- Which functions are in force: each maitred migrate writes those of its version, all in one transaction, where they are others.
create table functions (
  one    boolean primary key default true check (one),
  digest text not null,
  since  timestamptz not null default now()
);
comment on table functions is 'One row: the SHA-256 of migrations/functions, whose functions these are, and since when.';

-- Whoever changes functions adds a file such as this one, which says what changed, and names their digest as the next line does: an older
-- maitred then refuses the database, and does not write its own functions over them.
-- functions: 40cfdab086f6f1f923476826a7e2046aac85f77428c850399e029a47121d17c8
