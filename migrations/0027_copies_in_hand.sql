-- Up Migration

-- As in 0024_hidden_copies.sql, but changed also where the photo waited already as another moderator hid its bytes, which its history
-- says from then on. Verdicts are numbered over all photos, and a later one of this photo has a higher number, as it is locked.
create or replace function decide_reviews(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  digests bytea[] := array(
    select distinct bytes_of(i.photo) from jsonb_to_recordset(p_items) as i (photo bigint, verdict text) where i.verdict = 'hidden');
  item jsonb;
  hidden bigint;
  held bigint;
begin
  perform 1 from photos p
  where p.id = any (array(
    select i.photo from jsonb_to_recordset(p_items) as i (photo bigint) union select copies_of(d) from unnest(digests) d))
  order by p.id for update;
  perform 1 from review_claims c
  where c.photo_id in (select i.photo from jsonb_to_recordset(p_items) as i (photo bigint)) order by c.photo_id for update;
  for item in select e.item from jsonb_array_elements(p_items) with ordinality as e (item, n) order by n loop
    select p.id, r.moderator, p.state, v.id, v.held, r.photo_id into photo_id, other, state, as_of, held, hidden
    from photos p
    cross join lateral (select max(v.id) as id, max(v.id) filter (where v.rule = 'hidden-copy') as held from verdicts v where v.photo_id = p.id) v
    cross join lateral (
      select r.verdict, r.moderator, r.verdict_id, r.photo_id from reviews r
      where r.digest = bytes_of(p.id) order by r.verdict_id desc limit 1) r
    where p.id = (item ->> 'photo')::bigint and item ->> 'verdict' = 'shown'
      and p.state = 'review' and p.superseded_at is null and greatest(v.held, r.verdict_id) > (item ->> 'asOf')::bigint
      and r.verdict = 'hidden' and r.moderator <> p_moderator
      -- what commit_decisions says first
      and (p.version <> '' or p.revived_at is null or exists (
        select from verdicts v where v.photo_id = p.id and v.id <= (item ->> 'asOf')::bigint and v.decided_at >= p.revived_at))
      and not exists (select from review_claims c where c.photo_id = p.id and c.moderator <> p_moderator and c.until > now())
      and not exists (select from review_decisions d where d.id = (item ->> 'id')::uuid);
    if found then
      if held is null or held <= (item ->> 'asOf')::bigint then
        with told as (
          update photos p set rule = 'hidden-copy', reason = other || ' hid the same bytes: photo ' || hidden, decided_at = now()
          where p.id = photo_id returning p.*
        )
        insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, backfill_id, rendition)
        select t.id, t.state, t.rule, t.reason, t.category, t.human, v.scores, t.decided_by, t.policy, v.backfill_id, v.rendition
        from told t cross join lateral (
          select v.scores, v.backfill_id, v.rendition from verdicts v
          where v.photo_id = t.id and v.decided_by = t.decided_by and v.rule <> 'undo' order by v.id desc limit 1) v
        returning id into as_of;
      end if;
      id := item ->> 'id';
      outcome := 'changed';
      return next;
    else
      return query select * from commit_decisions(p_moderator, jsonb_build_array(item));
    end if;
  end loop;
  -- those that were known by then may be others
  perform hold_copies_of(array(
    select distinct r.digest from jsonb_to_recordset(p_items) as i (id uuid) join review_decisions d on d.id = i.id
    join reviews r on r.verdict_id = d.verdict_id where r.verdict = 'hidden' and r.digest is not null));
end $$;
