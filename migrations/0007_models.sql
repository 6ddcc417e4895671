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

-- Makes a model known as a candidate. Known already with the same model.json, it is left as it is.
-- A candidate that never ran may be made anew; its shadow scores go, because another graph gave them.
-- MD409: a model that runs or ran has another model.json; verdicts are signed with its id, so it needs a new version.
create function register_model(p_id text, p_sha256 text, p_measured jsonb, p_by text) returns void language plpgsql as $$
declare known models;
begin
  lock table models in share row exclusive mode;
  select * into known from models where id = p_id;
  if not found then
    insert into models (id, sha256, measured, registered_by) values (p_id, p_sha256, p_measured, p_by);
  elsif known.sha256 <> p_sha256 then
    if known.state <> 'candidate' then
      raise exception 'a % with another model.json is registered as %: give this one a new version', p_id, known.state
        using errcode = 'MD409';
    end if;
    delete from shadow_scores where model = p_id;
    update models set sha256 = p_sha256, measured = p_measured, registered_at = now(), registered_by = p_by
    where id = p_id;
  end if;
end $$;

-- Makes a registered model the active one, and writes who, when and why.
-- p_from: the model it was compared with; where none is active, that is the one that ran without a row, or null.
-- MD404: the model is not registered. MD409: it is active already. MD412: another model became active meanwhile.
-- Locks the table, so that two promotions take turns and the later one fails.
create function promote_model(p_id text, p_from text, p_by text, p_why text, p_figures jsonb)
returns void language plpgsql as $$
declare current text;
begin
  lock table models in share row exclusive mode;
  select id into current from models where state = 'active';
  if not exists (select from models where id = p_id) then
    raise exception '% is not registered', p_id using errcode = 'MD404';
  elsif current = p_id then
    raise exception '% is active already', p_id using errcode = 'MD409';
  elsif current is not null and current is distinct from p_from then
    raise exception '% became active meanwhile: promote again to compare with it', current using errcode = 'MD412';
  end if;
  update models set state = 'retired', share = null where id in (current, p_from);
  update models set state = 'active', share = null where id = p_id;
  insert into promotions (kind, from_model, to_model, by, why, figures)
  values ('promote', nullif(p_from, p_id), p_id, p_by, p_why, p_figures);
end $$;

-- Returns to the model from which the active one was promoted, however often it went back and forth since, and
-- answers its id. MD404: there is none before it.
create function rollback_model(p_by text, p_why text) returns text language plpgsql as $$
declare current text; previous text;
begin
  lock table models in share row exclusive mode;
  select id into current from models where state = 'active';
  select from_model into previous from promotions
  where kind = 'promote' and to_model = current order by id desc limit 1;
  if previous is null then
    raise exception 'there is no model before %', coalesce(current, 'the one that ships') using errcode = 'MD404';
  end if;
  update models set state = 'retired' where id = current;
  update models set state = 'active', share = null where id = previous;
  insert into promotions (kind, from_model, to_model, by, why) values ('rollback', current, previous, p_by, p_why);
  return previous;
end $$;

-- Lets a registered model judge a share of the live photos beside the active one, instead of whichever did;
-- null ends it. MD404: it is not registered. MD409: it is the active one.
create function shadow_model(p_id text, p_share real) returns void language plpgsql as $$
declare found_state text;
begin
  lock table models in share row exclusive mode;
  select state into found_state from models where id = p_id;
  if found_state is null then
    raise exception '% is not registered', p_id using errcode = 'MD404';
  elsif found_state = 'active' then
    raise exception '% is the active model: a shadow runs beside it', p_id using errcode = 'MD409';
  end if;
  update models m set share = null, state = case
      when exists (select from promotions p where m.id in (p.from_model, p.to_model)) then 'retired' else 'candidate' end
  where m.state = 'shadow' and (m.id <> p_id or p_share is null);
  if p_share is not null then
    update models set state = 'shadow', share = p_share where id = p_id;
  end if;
end $$;

-- Says what a worker runs; those that have said nothing for an hour are forgotten.
create function report_worker(p_worker text, p_model text, p_variant text, p_provider text, p_pinned boolean, p_problem text)
returns void language sql as $$
  delete from model_workers where seen_at < now() - interval '1 hour';
  insert into model_workers (worker, model, variant, provider, pinned, problem)
  values (p_worker, p_model, p_variant, p_provider, p_pinned, p_problem)
  on conflict (worker) do update set model = excluded.model, variant = excluded.variant, provider = excluded.provider,
    pinned = excluded.pinned, problem = excluded.problem, seen_at = now();
$$;

-- Stores what the shadow said of photos, the latest of each. p_items: a JSON array of rows of shadow_scores.
-- A photo that was deleted meanwhile is left out.
create function record_shadow_scores(p_items jsonb) returns void language sql as $$
  insert into shadow_scores as s (model, photo_id, verdict, category, human, scores,
    beside, beside_verdict, beside_category, beside_human, beside_scores)
  select i.* from jsonb_to_recordset(p_items) as i (
    model text, photo_id bigint, verdict text, category text, human real, scores jsonb,
    beside text, beside_verdict text, beside_category text, beside_human real, beside_scores jsonb)
  join photos p on p.id = i.photo_id
  on conflict (model, photo_id) do update set verdict = excluded.verdict, category = excluded.category,
    human = excluded.human, scores = excluded.scores, beside = excluded.beside,
    beside_verdict = excluded.beside_verdict, beside_category = excluded.beside_category,
    beside_human = excluded.beside_human, beside_scores = excluded.beside_scores, judged_at = now();
$$;
