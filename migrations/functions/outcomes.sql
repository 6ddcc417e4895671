-- The backfill, locked. MD404: there is none. MD409: it may still give verdicts.
create or replace function backfill_that_is_over(p_id bigint) returns backfills language plpgsql as $$
declare run backfills;
begin
  select * into run from backfills where id = p_id for no key update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.ended_at is null then
    raise exception 'backfill % is %: wait until it is done, or cancel it', p_id, run.state using errcode = 'MD409';
  elsif exists (select from backfill_photos w where w.backfill_id = p_id) then
    raise exception 'photos of backfill % are in the queue: wait until they are judged, by maitred feed and a worker', p_id
      using errcode = 'MD409';
  end if;
  return run;
end $$;

-- Makes at most p_limit proposals of a backfill the verdicts, of photos whose id is above p_after, as rollback_backfill: the index keeps
-- what pages before have deleted until vacuum comes, and each page would go over all of it. What is proposed meanwhile may lie below: begin again at 0
-- until none is left. What a moderator, or another run of the same model and policy, has decided meanwhile stays, and counts
-- as kept: it was counted as changed when it was proposed. That a photo failed in the run stays true.
-- Returns the last id that it looked at, null where there is none above, how many proposals it took, and how many of these are
-- verdicts now. Where there is none any more, it changes nothing of a backfill that was applied or discarded before.
-- MD404: there is no such backfill. MD409: it does not propose, or is not over, or was rolled back.
create or replace function apply_proposals(
  p_id bigint, p_after bigint, p_limit integer, p_by text, out last_id bigint, out taken bigint, out changed bigint
) language plpgsql as $$
declare
  run backfills;
  ids bigint[];
  items jsonb;
  given bigint[];
begin
  run := backfill_that_is_over(p_id);
  if not run.propose then raise exception 'backfill % gave verdicts, not proposals: maitred backfill rollback undoes them', p_id using errcode = 'MD409'; end if;
  if run.outcome = 'rolled back' then raise exception 'backfill % was rolled back', p_id using errcode = 'MD409'; end if;
  ids := array(
    select s.photo_id from proposals s where s.backfill_id = p_id and s.photo_id > p_after order by s.photo_id limit p_limit);
  -- first, as everybody locks photos before what speaks of them
  perform 1 from photos p where p.id = any (ids) order by p.id for update;
  with gone as (
    delete from proposals s where s.backfill_id = p_id and s.photo_id = any (ids) returning s.item
  )
  select coalesce(jsonb_agg(item), '[]'), count(*) into items, taken from gone;
  given := array(select v.photo_id from record_verdicts(items) v where v.changed);
  changed := cardinality(given);
  with spared as (
    select i.id, c.photo_id is not null as noted, coalesce(c.before, i.verdict) as before, i.verdict as after, coalesce(i.category, '') as after_category,
      -- of what another model or policy decides alike no change is noted
      coalesce(case when c.photo_id is null then i.category else c.before_category end, '') as before_category
    from jsonb_to_recordset(items) as i (id bigint, verdict text, category text)
    -- each by a look of its own, whatever the planner knows of the table
    left join lateral (
      select * from backfill_changes b where (b.backfill_id, b.photo_id) = (p_id, i.id) and b.after <> 'kept' offset 0) c on true
    where i.id <> all (given) and i.verdict <> 'failed'
  ), groups as (
    select before, before_category, after, after_category, count(*) as photos from spared group by 1, 2, 3, 4
  ), uncounted as (
    update backfill_counts c set photos = c.photos - g.photos from groups g
    where (c.backfill_id, c.before, c.before_category, c.after, c.after_category, c.code)
      = (p_id, g.before, g.before_category, g.after, g.after_category, '')
  ), noted as (
    update backfill_changes c set after = 'kept', after_category = c.before_category
    where c.backfill_id = p_id and c.photo_id = any (array(select s.id from spared s where s.noted))
  )
  insert into backfill_counts as c (backfill_id, before, before_category, after, after_category, code, photos)
  select p_id, g.before, g.before_category, 'kept', g.before_category, '', sum(g.photos) from groups g group by g.before, g.before_category
  on conflict on constraint backfill_counts_pkey do update set photos = c.photos + excluded.photos;
  if taken > 0 or run.outcome is null then perform note_outcome(run, 'applied', 'applied', p_by); end if;
  last_id := ids[cardinality(ids)];
end $$;

-- Forgets at most p_limit proposals of a backfill, of photos whose id is above p_after. Otherwise as apply_proposals,
-- but that it may have been rolled back, and that of one that was applied in part the rest is forgotten.
create or replace function discard_proposals(
  p_id bigint, p_after bigint, p_limit integer, p_by text, out last_id bigint, out gone bigint
) language plpgsql as $$
declare
  run backfills;
begin
  run := backfill_that_is_over(p_id);
  if not run.propose then raise exception 'backfill % gave verdicts, not proposals: maitred backfill rollback undoes them', p_id using errcode = 'MD409'; end if;
  with page as (
    delete from proposals s where s.backfill_id = p_id and s.photo_id in (
      select photo_id from proposals where backfill_id = p_id and photo_id > p_after order by photo_id limit p_limit)
    returning s.photo_id
  )
  select max(photo_id), count(*) into last_id, gone from page;
  if gone > 0 or run.outcome is null then
    perform note_outcome(run, coalesce(run.outcome, 'discarded'), 'discarded', p_by);
  end if;
end $$;

-- Takes note of what was done with a backfill that is over, a page at a time: p_outcome is what became of it, p_why what was done.
-- audit_log has whoever begins to do so once, and not each page. Locks: the backfill, which the caller has.
create or replace function note_outcome(p_run backfills, p_outcome text, p_why text, p_by text) returns void language plpgsql as $$
begin
  update backfills set outcome = p_outcome, changed_by = p_by, changed_at = now(), why = p_why where id = p_run.id;
  if (p_run.why, p_run.changed_by) is distinct from (p_why, p_by) then
    insert into audit_log (who, did, about)
    values (p_by, replace(p_why, ' ', '-') || '-backfill', jsonb_build_object('backfill', p_run.id::text));
  end if;
end $$;

-- Restores what was before a backfill, for at most p_limit photos whose id is above p_after; call it with the last id until it
-- answers null. Returns the last id it looked at, how many photos it restored (see restore_before_backfill; no
-- copy of what a moderator hid is shown again), and how many of those it
-- looked at are of the archive, have no verdict and wait for none: whether these are judged again is for an operator to say.
-- MD404: there is no such backfill. MD409: it is not over. Locks: the photos, in the order of their ids.
create or replace function rollback_backfill(p_id bigint, p_after bigint, p_limit integer, p_by text)
returns table (last_id bigint, restored bigint, pending bigint) language plpgsql as $$
declare
  run backfills;
  ids bigint[];
begin
  run := backfill_that_is_over(p_id);
  select array_agg(photo_id order by photo_id) into ids from (
    select distinct v.photo_id from verdicts v where v.backfill_id = p_id and v.photo_id > p_after order by 1 limit p_limit) v;
  if ids is null then return; end if;
  perform 1 from photos p where p.id = any (ids) order by p.id for update;
  restored := restore_before_backfill(p_id, ids);
  perform hold_copies(ids);
  select count(*) into pending from photos p
  where p.id = any (ids) and p.state = 'pending' and p.lane = 'backfill' and p.superseded_at is null
    and not exists (select from backfill_photos w where w.photo_id = p.id)
    and not exists (select from unqueued u where u.photo_id = p.id);
  last_id := ids[cardinality(ids)];
  perform note_outcome(run, 'rolled back', 'rolled back', p_by);
  return next;
end $$;

-- Restores what was before a backfill, for these photos, which the caller has locked: the latest verdict that is neither of the
-- backfill nor taken back, as of when it was given: history says when it was restored. A photo that was judged again since
-- keeps that verdict. One that had none is pending again; so is one whose verdict is of what was there before it was uploaded again.
-- Tags are given again from the scores and the policy of the verdict before; of a policy that is not known any more, the best
-- category alone. A verdict of another backfill that stands again is of that one as before, so that it can be rolled back too.
-- Returns how many photos it restored.
-- Tags are looked up by their photo, whatever the planner knows of the tables.
create or replace function restore_before_backfill(p_id bigint, p_ids bigint[]) returns bigint language sql as $$
  with ours as (
    select i.id, max(v.id) as last_id
    from unnest(p_ids) as i (id) join verdicts v on v.photo_id = i.id and v.backfill_id = p_id group by 1
  ), standing as materialized (
    select o.id, b.*
    from ours o
    -- one that is pending was restored before: history has no row of that
    join photos p on p.id = o.id and p.state <> 'pending'
    left join lateral (
      select v.id as verdict_id, v.verdict, v.rule, v.reason, v.category, v.human, v.scores, v.decided_by, v.policy, v.failure,
        v.backfill_id, v.rendition, v.decided_at
      from verdicts v
      where v.photo_id = o.id and v.id < o.last_id and v.backfill_id is distinct from p_id and not taken_back(v)
        and (p.version <> '' or p.revived_at is null or v.decided_at >= p.revived_at)
        -- the verdict itself, and not that it stood again, which was later
        and coalesce(v.batch, '') not like 'rollback-%'
      order by v.id desc limit 1
    ) b on true
    where not exists (select from verdicts v where v.photo_id = o.id and v.id > o.last_id and not taken_back(v))
  ), state as (
    update photos p
    set state = coalesce(s.verdict, 'pending'), category = s.category, human = s.human,
        rule = coalesce(s.rule, 'rollback'), reason = coalesce(s.reason, 'backfill ' || p_id || ' was rolled back'),
        failure = case when s.verdict = 'failed' then coalesce(s.failure, 'INTERNAL') end,
        decided_by = s.decided_by, policy = s.policy, decided_at = s.decided_at
    from standing s where p.id = s.id returning p.id, p.state, p.lane, p.superseded_at
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, failure, backfill_id,
      rendition)
    select s.id, s.verdict, s.rule, s.reason, s.category, s.human, s.scores, s.decided_by, s.policy, 'rollback-' || p_id, s.failure,
      s.backfill_id, s.rendition
    from standing s where s.verdict is not null
  ), given as (
    select s.id, c.key as category, c.value::double precision as score,
      coalesce((l.thresholds ->> c.key)::double precision, 1) as threshold, s.decided_by, l.id is null as unknown, c.key = s.category as best
    from standing s cross join lateral jsonb_each_text(coalesce(s.scores, '{}')) c left join policies l on l.id = s.policy
  ), due as (
    select g.id, g.category, g.score, case when g.unknown then 0 else g.threshold end as threshold, g.decided_by
    from given g where case when g.unknown then g.best else g.score >= g.threshold end
  ), taken as (
    delete from tags where ctid = any (array(
      select t.ctid from standing s
      cross join lateral (select g.ctid, g.photo_id, g.category from tags g where g.photo_id = s.id offset 0) t
      where not exists (select from due d where d.id = t.photo_id and d.category = t.category)))
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select d.id, d.category, d.score, d.threshold, d.decided_by from due d
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  ), queued as (
    -- an upload whose own job came while the backfill's verdict stood has none any more
    insert into unqueued (photo_id)
    select s.id from state s where s.state = 'pending' and s.lane = 'live' and s.superseded_at is null
    on conflict do nothing
  )
  select count(*) from state;
$$;

-- Whether a verdict was taken back after it was given, so that it is never restored: that of a backfill that was rolled back, and
-- that of a moderator who took it back. Nor does what an undo says count, which is an older verdict's.
create or replace function taken_back(v verdicts) returns boolean stable language sql as $$
  select v.rule = 'undo'
    or exists (select from backfills b where b.id = v.backfill_id and b.outcome = 'rolled back')
    or exists (
      select from review_decisions d where d.photo_id = v.photo_id and d.verdict_id = v.id and d.undone_at is not null)
$$;
