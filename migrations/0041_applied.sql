-- Up Migration

-- As in 0013_outcomes.sql, and counts what stays otherwise decided as kept: it was counted as changed when it was proposed. That a photo failed in the run
-- stays true.
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
