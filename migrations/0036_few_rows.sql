-- Up Migration

-- What follows looks up a few rows by their keys whatever the planner knows of the tables. Right after a restore or a pg_upgrade it knows nothing, and
-- took a walk through all reviews for each photo that was judged, and through all tags for each that was restored, for cheaper.

-- As in 0024_hidden_copies.sql, but each digest by a look of its own.
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

-- As in 0013_outcomes.sql, but that tags are looked up by their photo, which the caller has locked.
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

-- Each process that tidies asks for it every minute, and read all that is put aside.
create index bad_messages_resolved on bad_messages (resolved_at) where resolved_at is not null;
