-- Makes a model known as a candidate. Known already with the same model.json, it is left as it is.
-- A candidate that never ran may be made anew; its shadow scores go, because another graph gave them.
-- MD409: a model that runs or ran has another model.json; verdicts are signed with its id, so it needs a new version.
create or replace function register_model(p_id text, p_sha256 text, p_measured jsonb, p_by text) returns void language plpgsql as $$
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
create or replace function promote_model(p_id text, p_from text, p_by text, p_why text, p_figures jsonb)
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
create or replace function rollback_model(p_by text, p_why text) returns text language plpgsql as $$
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
create or replace function shadow_model(p_id text, p_share real) returns void language plpgsql as $$
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
create or replace function report_worker(p_worker text, p_model text, p_variant text, p_provider text, p_pinned boolean, p_problem text)
returns void language sql as $$
  delete from model_workers where seen_at < now() - interval '1 hour';
  insert into model_workers (worker, model, variant, provider, pinned, problem)
  values (p_worker, p_model, p_variant, p_provider, p_pinned, p_problem)
  on conflict (worker) do update set model = excluded.model, variant = excluded.variant, provider = excluded.provider,
    pinned = excluded.pinned, problem = excluded.problem, seen_at = now();
$$;

-- Stores what the shadow said of photos, the latest of each. p_items: a JSON array of rows of shadow_scores.
-- A photo that was deleted meanwhile is left out.
create or replace function record_shadow_scores(p_items jsonb) returns void language sql as $$
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
