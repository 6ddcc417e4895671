-- Up Migration

-- Which functions are in force: each maitred migrate writes those of its version, all in one transaction, where they are others.
create table functions (
  one    boolean primary key default true check (one),
  digest text not null,
  since  timestamptz not null default now()
);
comment on table functions is 'One row: the SHA-256 of migrations/functions, whose functions these are, and since when.';
