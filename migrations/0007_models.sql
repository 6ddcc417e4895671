-- Up Migration

create table models (
  id            text primary key check (id ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'),
  state         text not null default 'candidate' check (state in ('candidate', 'shadow', 'active', 'retired')),
  sha256        text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  measured      jsonb,
  share         real check (share > 0 and share <= 1),
  registered_at timestamptz not null default now(),
  registered_by text not null,
  check ((state = 'shadow') = (share is not null))
);
comment on table models is 'One row a model that somebody registered. Workers run the active one, and the shadow beside it.';
comment on column models.id is 'name-version; the folder of this name below the models directory of each machine holds it';
comment on column models.sha256 is 'Of its model.json, so that every worker runs the same';
comment on column models.measured is 'What model.json says of its quality';
comment on column models.share is 'Of the shadow: which part of the live photos it judges too, above 0 to 1';
create unique index models_one_active on models (state) where state = 'active';
create unique index models_one_shadow on models (state) where state = 'shadow';

create table promotions (
  id         bigint generated always as identity primary key,
  kind       text not null check (kind in ('promote', 'rollback')),
  from_model text references models,
  to_model   text not null references models,
  by         text not null,
  why        text not null,
  figures    jsonb,
  at         timestamptz not null default now()
);
comment on table promotions is 'Every change of the active model, oldest first; rows are only added.';
comment on column promotions.from_model is 'Null where none was active before';
comment on column promotions.figures is 'How both models judged the gold set, where they were measured';
create trigger promotions_append_only before update or delete on promotions
  for each row execute function refuse_change();

-- The desk is served by other processes, which cannot see a worker's own counters: figures has them. Rows are as few as workers are.
create table model_workers (
  worker   text primary key,
  model    text not null,
  variant  text not null,
  provider text not null,
  pinned   boolean not null,
  problem  text not null default '',
  seen_at  timestamptz not null default now(),
  figures  jsonb
);
comment on table model_workers is 'What each worker runs, as it last said.';
comment on column model_workers.pinned is 'Whether MAITRED_MODEL keeps it from following the active model';
comment on column model_workers.problem is 'Why it cannot run the active model or the shadow; empty: nothing is wrong';
comment on column model_workers.figures is 'What it did within the last minute, as it last said: photos, stages, batches; null until it has';

create table shadow_scores (
  model           text not null references models on delete cascade,
  photo_id        bigint not null references photos on delete cascade,
  verdict         text not null,
  category        text not null,
  human           real not null,
  scores          jsonb not null,
  beside          text not null,
  beside_verdict  text not null,
  beside_category text not null,
  beside_human    real not null,
  beside_scores   jsonb not null,
  judged_at       timestamptz not null default now(),
  primary key (model, photo_id)
);
comment on table shadow_scores is 'What the shadow said of a live photo, beside what the active model said of the same. Never a verdict.';
comment on column shadow_scores.verdict is 'What the policy would have decided';
comment on column shadow_scores.beside is 'The model that gave the verdict';

-- Workers listen there, and look at the table when they are told.
create function notify_models() returns trigger language plpgsql as $$
begin
  perform pg_notify('maitred_models', '');
  return null;
end $$;
create trigger models_notify after insert or update or delete on models for each statement execute function notify_models();
