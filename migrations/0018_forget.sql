-- Up Migration

create table erasures (
  id     bigint generated always as identity primary key,
  by     text not null,
  at     timestamptz not null default now(),
  counts jsonb not null
);
comment on table erasures is 'Who had an object forgotten, when, and how many rows of which table went; never which object.';
create trigger erasures_append_only before update or delete on erasures
  for each row execute function refuse_change();
