-- Photos that a model shows, and that may have these bytes: at most 1,000, of the first 10,000 that a model judged of them, and of as many
-- that took scores over from these. None while an index is missing, as each look would read all verdicts.
create or replace function copies_of(p_digest bytea) returns setof bigint stable language plpgsql as $$
begin
  if 2 > (select count(*) from pg_index i
    where i.indexrelid in (to_regclass('verdicts_digest'), to_regclass('verdicts_same')) and i.indisvalid) then
    return;
  end if;
  return query
  with judged as materialized (
    select distinct v.photo_id from (
      select v.photo_id from verdicts v
      where (('x' || encode(substr(v.digest, 1, 8), 'hex'))::bit(64)::bigint) = (('x' || encode(substr(p_digest, 1, 8), 'hex'))::bit(64)::bigint)
        and v.digest = p_digest limit 10000) v
  ), found as (
    select j.photo_id from judged j
    union
    (select c.photo_id from judged j cross join lateral (
      -- "offset 0", here and below: each by a look into the index, whatever the planner knows of the table
      select v.photo_id from verdicts v where v.batch = 'same-' || j.photo_id and v.batch like 'same-%' offset 0) c
    limit 10000)
  )
  select p.id from found f cross join lateral (
    select p.id from photos p where p.id = f.photo_id and p.state = 'shown' and p.decided_by like 'model:%' offset 0) p
  limit 1000;
end $$;

-- Items of record_verdicts, of which those ask for a moderator that would show bytes of which the last moderator to see them
-- said hidden. The digest is theirs; that of the scores which they took over (copyOf; what was proposed before there was that says
-- of which photo they are); or, where stored scores are decided anew, that of the photo. It is kept with the verdict, whatever
-- becomes of the photo that the scores are of.
-- A photo of which a rendition was judged shows the bytes of its original. Each digest is looked up by itself, whatever the planner knows.
create or replace function hold_hidden(p_items jsonb) returns jsonb stable language sql as $$
  select coalesce(jsonb_agg(case when r.verdict = 'hidden' then item || jsonb_build_object(
    'verdict', 'review', 'rule', 'hidden-copy', 'reason', r.moderator || ' hid the same bytes: photo ' || r.photo_id,
    'digest', case when 'true' in (item ->> 'stored', item ->> 'rendition') then item -> 'digest' else to_jsonb('\x' || encode(r.digest, 'hex')) end)
    else item end order by n), '[]')
  from jsonb_array_elements(p_items) with ordinality as e (item, n)
  left join lateral (
    select l.* from unnest(array[
      coalesce((item ->> 'digest')::bytea, (item ->> 'copyOf')::bytea,
        case when item ->> 'batch' like 'same-%' then (
          select o.digest from verdicts o
          where o.photo_id = substr(item ->> 'batch', 6)::bigint and o.digest is not null and o.decided_by = item ->> 'by'
          order by o.id desc limit 1)
        when (item ->> 'stored')::boolean then bytes_of((item ->> 'id')::bigint) end),
      case when (item ->> 'rendition')::boolean then bytes_of((item ->> 'id')::bigint) end]) d (digest)
    cross join lateral (
      select r.verdict, r.moderator, r.photo_id, r.digest, r.verdict_id from reviews r
      where r.digest = d.digest order by r.verdict_id desc limit 1) l
    where item ->> 'verdict' = 'shown'
    order by l.verdict_id desc limit 1) r on true
$$;

-- Of these photos, which the caller has locked, those wait for a moderator that a model shows although the last moderator who saw their bytes
-- hid them. The scores are those that they had, and are not counted again, as nobody judged the photo: such a row has no batch. It is of the
-- same backfill, so that rolling that back restores what was before. Returns the ids of those that it held.
create or replace function hold_copies(p_ids bigint[]) returns setof bigint language plpgsql as $$
begin
  -- as in record_verdicts
  perform pg_advisory_xact_lock_shared(hashtext('maitred hidden copies'));
  return query
  with held as materialized (
    select p.id, r.moderator || ' hid the same bytes: photo ' || r.photo_id as reason, s.scores, s.backfill_id, s.rendition
    from photos p
    cross join lateral (
      select r.verdict, r.moderator, r.photo_id from reviews r
      where r.digest = bytes_of(p.id) order by r.verdict_id desc limit 1) r
    cross join lateral (
      select v.scores, v.backfill_id, v.rendition from verdicts v
      where v.photo_id = p.id and v.decided_by = p.decided_by and v.rule <> 'undo' order by v.id desc limit 1) s
    where p.id = any (p_ids) and p.state = 'shown' and p.decided_by like 'model:%' and r.verdict = 'hidden'
  ), untold as (
    -- that it is shown again, by whoever restored that in this transaction
    delete from outbox o using held h where o.photo_id = h.id and o.xmin = pg_current_xact_id()::xid
  ), state as (
    update photos p set state = 'review', rule = 'hidden-copy', reason = h.reason, decided_at = now()
    from held h where p.id = h.id returning p.*, h.scores, h.backfill_id, h.rendition
  )
  insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, backfill_id, rendition)
  select s.id, s.state, s.rule, s.reason, s.category, s.human, s.scores, s.decided_by, s.policy, s.backfill_id, s.rendition from state s order by s.id
  returning photo_id;
end $$;

-- Holds copies of these bytes, as far as the last moderator who saw them hid them; called once that is written, in its transaction. The
-- caller has locked the copies that it knew of, in the order of their ids, as everybody locks photos. What was shown since then is
-- held unless somebody else changes it: they are not waited for, as they may wait for what is locked. Who commits verdicts at this moment is
-- waited for, and whoever comes later sees what was hidden; they wait for nobody who waits here.
create or replace function hold_copies_of(p_digests bytea[]) returns void language plpgsql as $$
begin
  if array_remove(p_digests, null) = '{}' then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtext('maitred hidden copies'));
  perform hold_copies(array(
    select p.id from photos p where p.id = any (array(
      select copies_of(d) from unnest(p_digests) d
      where 'hidden' = (select r.verdict from reviews r where r.digest = d order by r.verdict_id desc limit 1)))
    -- whoever only refers to it does not change it
    for no key update skip locked));
end $$;
