-- Up Migration

create table decoders (
  id    text primary key,
  since timestamptz not null default now()
);
comment on table decoders is 'One row for all that ever turned bytes into pixels here: scores from before the one that runs are taken over by no copy.';
comment on column decoders.id is 'SHA-256 of the sources that decode, and the versions of their libraries';
comment on column decoders.since is 'When a worker first ran it, since another one was last';
