-- Up Migration

-- A sweep reads the current photos of a bucket in the order in which a store lists its keys.
create table sweeps (
  id          bigint generated always as identity primary key,
  bucket      text not null,
  prefix      text not null default '',
  state       text not null default 'running' check (state in ('running', 'done', 'abandoned')),
  cursor      text not null default '',
  listed      bigint not null default 0,
  known       bigint not null default 0,
  missed      bigint not null default 0,
  gone        bigint not null default 0,
  young       bigint not null default 0,
  unclear     bigint not null default 0,
  seconds     real not null default 0,
  started_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  finished_at timestamptz
);
comment on table sweeps is 'Each comparison of a bucket with photos: where it is, and what events had missed.';
comment on column sweeps.cursor is 'Of one that runs: every key up to this one is done, in the order of their bytes';
comment on column sweeps.missed is 'Photos in the bucket of which no event had told';
comment on column sweeps.gone is 'Photos not in the bucket any more of whose removal no event had told';
comment on column sweeps.young is 'Objects that differ and are so new that their event may still come';
comment on column sweeps.unclear is 'Objects that changed meanwhile, or that the store did not let be seen; left for the next sweep';
comment on column sweeps.seconds is 'Time that it worked, without that in which nobody went on with it';
create unique index sweeps_running on sweeps (bucket, prefix) where state = 'running';
create index sweeps_bucket on sweeps (bucket, id);
