-- Up Migration

-- The listing is that of the photo that this one took the place of, as it was told none of its own: what its object says counts more.
alter table photos add column inherited boolean;

-- As before (migrations/0019_verdicts_of_now.sql), but that where the bytes may be others, what was said of those before is no verdict:
--   - nothing that was decided from stored scores counts where the verdict that stands has other scores;
--   - no proposal counts where other bytes were judged, or the photo failed, after its own were fetched: it keeps when that was;
--   - a listing that was inherited gives way to what the object says.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
begin
  -- a statement of its own, so that the next one sees what a rival committed while this one waited
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;

  return query
  with input as (
    select distinct on (i.id) i.*, e.item
    from jsonb_array_elements(p_items) as e (item), jsonb_to_record(e.item) as i (
      id bigint, verdict text, rule text, reason text, category text, human real, scores jsonb, tags jsonb,
      by text, policy text, batch text, known jsonb, failure text, transient boolean, age double precision,
      fed boolean, backfill bigint, counted boolean, stored boolean, digest bytea, rendition boolean, tries smallint, over bigint, fetched timestamptz)
    order by i.id, i.fed is true, i.rendition is true
  ), waiting as (
    delete from backfill_photos b using input i where b.photo_id = i.id and i.backfill is null
    returning b.photo_id, b.backfill_id
  ), settled as materialized (
    select x.photo_id, f.id as backfill_id, f.propose, f.again, f.what ->> 'kind' = 'manifest' as listed
    from (
      select w.photo_id, w.backfill_id from waiting w
      union
      select i.id, i.backfill from input i where i.backfill is not null and i.counted
    ) x join backfills f on f.id = x.backfill_id
  ), wanted as materialized (
    select input.*, locked.state as before, coalesce(locked.category, '') as before_category, asked.proposed, standing.id as standing,
      coalesce(input.backfill, (select max(s.backfill_id) from settled s where s.photo_id = input.id and not s.propose)) as of_backfill,
      case
        when locked.decided_by like 'moderator:%' then false
        when locked.version = '' and now() - make_interval(secs => input.age) < locked.revived_at then false
        when input.fed and not asked.settled then false
        when input.stored and (locked.state = 'failed' or locked.decided_by is distinct from input.by
          or (input.rendition is true) <> coalesce(standing.rendition, false)
          or (standing.scores, standing.human) is distinct from (input.scores, input.human)) then false
        when input.fetched is not null and locked.state = 'failed' and locked.decided_at > input.fetched then false
        when input.fetched is not null and exists (
          select from verdicts v
          where v.photo_id = input.id and v.decided_at > input.fetched and v.digest <> input.digest
            -- of an original and its rendition digests always differ, which tells nothing where the version is of certain bytes
            and (coalesce(v.rendition, false) = (input.rendition is true)
              or (v.rendition is not true and (locked.version = '' or locked.version like 'generation:%')))) then false
        when input.verdict = 'failed' and input.backfill is not null and input.counted is not true
          and locked.state not in ('pending', 'failed') and locked.decided_by = input.by and locked.policy = input.policy
          and standing.id is distinct from input.over then false
        when input.verdict = 'failed' then
          case when locked.state = 'failed' then locked.failure is distinct from input.failure
               else locked.state = 'pending' or not input.transient end
        when locked.state in ('pending', 'failed')
          or locked.decided_by is distinct from input.by or locked.policy is distinct from input.policy then true
        when (input.rendition is true) <> coalesce(standing.rendition, false) then input.rendition is not true
        else (asked.again and input.batch not like 'same-%' or coalesce(input.over = standing.id, false))
          and (locked.state, locked.rule, locked.category, locked.human)
            is distinct from (input.verdict, input.rule, input.category, input.human)
          or (locked.version = '' or locked.version like 'generation:%')
          and coalesce(now() - make_interval(secs => input.age) > locked.decided_at + interval '1 second', false)
          and (input.digest is null or input.digest is distinct from standing.digest)
          and (locked.state, locked.rule, locked.category) is distinct from (input.verdict, input.rule, input.category)
      end as differs
    from input join photos locked on locked.id = input.id
    left join lateral (
      select v.id, v.rendition, v.digest, v.scores, v.human from verdicts v
      where v.photo_id = input.id and locked.decided_by = input.by order by v.id desc limit 1
    ) standing on true
    cross join lateral (
      select count(*) > 0 as settled,
        coalesce(bool_and(s.propose), false) and (coalesce(input.fed, false) or coalesce(input.counted, false)) as proposed,
        coalesce(bool_or(s.again) filter (where not s.propose), bool_or(s.again) and input.fed, false) as again
      from settled s where s.photo_id = input.id
    ) asked
  ), changing as materialized (
    select * from wanted w where w.differs and not w.proposed
  ), state as (
    update photos p
    set state = w.verdict, category = w.category, human = w.human, rule = w.rule, reason = w.reason,
        failure = w.failure, decided_by = w.by, policy = w.policy, decided_at = now(),
        listing = case when p.inherited then coalesce(w.known ->> 'listing', p.listing) else coalesce(p.listing, w.known ->> 'listing') end,
        inherited = p.inherited and w.known ->> 'listing' is null,
        uploader = coalesce(p.uploader, w.known ->> 'uploader'),
        claimed = coalesce(p.claimed, w.known ->> 'claimed')
    from changing w where p.id = w.id
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, failure, backfill_id,
      digest, rendition, tries)
    select w.id, w.verdict, w.rule, w.reason, w.category, w.human, w.scores, w.by, w.policy, w.batch, w.failure, w.of_backfill,
      w.digest, w.rendition, w.tries
    from changing w
  ), given as (
    select w.id, t.category, t.score, t.threshold, w.by
    from changing w, jsonb_to_recordset(coalesce(w.tags, '[]')) as t (category text, score real, threshold real)
  ), taken as (
    delete from tags t using changing w
    where t.photo_id = w.id
      and not exists (select from given g where g.id = t.photo_id and g.category = t.category)
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select g.id, g.category, g.score, g.threshold, g.by from given g
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  ), outcomes as materialized (
    select s.backfill_id, s.photo_id, w.before, w.before_category,
      case when w.differs then w.verdict else 'kept' end as after,
      case when w.differs then coalesce(w.category, '') else w.before_category end as after_category,
      coalesce(w.failure, '') as code,
      -- nothing else would tell the feeder that a list names it once more
      s.listed and not (w.differs and case when w.proposed then s.propose else w.of_backfill is not distinct from s.backfill_id end) as unseen,
      case when w.differs and w.proposed and s.propose then w.item - 'counted' - 'fed' - 'age' || jsonb_build_object(
        'over', w.standing, 'fetched', now() - make_interval(secs => w.age)) end as proposal
    from settled s join wanted w on w.id = s.photo_id
  ), proposed as (
    insert into proposals (backfill_id, photo_id, item)
    select o.backfill_id, o.photo_id, o.proposal || jsonb_build_object('backfill', o.backfill_id)
    from outcomes o where o.proposal is not null
    on conflict on constraint proposals_pkey do update set item = excluded.item
  ), counted as (
    insert into backfill_counts as c (backfill_id, before, before_category, after, after_category, code, photos)
    select o.backfill_id, o.before, o.before_category, o.after, o.after_category, o.code, count(*)
    from outcomes o group by 1, 2, 3, 4, 5, 6
    -- in one order, so that two groups never wait for each other in a circle
    order by 1, 2, 3, 4, 5, 6
    on conflict on constraint backfill_counts_pkey do update set photos = c.photos + excluded.photos
  ), noted as (
    insert into backfill_changes (backfill_id, photo_id, before, before_category, after, after_category, code)
    select o.backfill_id, o.photo_id, o.before, nullif(o.before_category, ''), o.after, nullif(o.after_category, ''), nullif(o.code, '')
    from outcomes o
    where o.code <> '' or o.unseen or (o.after <> 'kept' and (o.before, o.before_category) is distinct from (o.after, o.after_category))
    on conflict on constraint backfill_changes_pkey do update
      set before = excluded.before, before_category = excluded.before_category, after = excluded.after,
          after_category = excluded.after_category, code = excluded.code
  )
  select w.id, w.differs and not w.proposed from wanted w;
end $$;

-- As before (migrations/0019_verdicts_of_now.sql), but that a worker looks at every photo that is shown by a model's verdict again.
create or replace function undo_review(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
returns table (photo_id bigint, outcome text, kind text) language plpgsql as $$
#variable_conflict use_column
declare
  d review_decisions;
  b photos;
  stood verdicts;
begin
  select * into d from review_decisions r where (r.id, r.moderator) = (p_decision, p_moderator);
  perform 1 from photos p where p.id = d.photo_id for update;
  if not found then
    return query select null::bigint, 'gone', null::text;
    return;
  end if;
  -- as it is now that the photo is locked
  select * into d from review_decisions r where r.id = p_decision;
  if d.undone_at is not null then
    return query select d.photo_id, 'known', null::text;
    return;
  elsif d.verdict_id <> (select max(v.id) from verdicts v where v.photo_id = d.photo_id and not taken_back(v))
    or not exists (select from photos p where p.id = d.photo_id and p.decided_by = 'moderator:' || p_moderator) then
    return query select d.photo_id, 'changed', null::text;
    return;
  end if;

  b := jsonb_populate_record(null::photos, d.before);
  update review_decisions r set undone_at = now() where r.id = p_decision;
  delete from reviews r where r.verdict_id = d.verdict_id;
  if b.state = 'pending' then
    b.rule := 'undo';
    b.reason := 'taken back by ' || p_moderator;
  else
    select * into stood from verdicts v where v.photo_id = d.photo_id and v.id < d.verdict_id order by v.id desc limit 1;
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, failure, rendition)
    values (d.photo_id, b.state, 'undo', 'taken back by ' || p_moderator || ': ' || coalesce(b.reason, ''), b.category, b.human,
      stood.scores, b.decided_by, b.policy, b.failure, stood.rendition);
  end if;
  delete from tags t where t.photo_id = d.photo_id;
  insert into tags select t.* from jsonb_populate_recordset(null::tags, d.before -> 'tags') t;
  update appeals a set answered_at = null, decision_id = null
  where a.decision_id = p_decision
    and not exists (select from appeals o where o.photo_id = d.photo_id and o.answered_at is null);
  insert into review_claims as c (photo_id, moderator, page, kind, until)
  select d.photo_id, p_moderator, p_page, d.kind, now() + make_interval(secs => p_lease_s) where d.kind is not null
  on conflict (photo_id) do update
    set moderator = excluded.moderator, page = excluded.page, kind = excluded.kind, until = excluded.until
    where c.until <= now();
  insert into audit_log (who, did, photo, about)
  values (p_moderator, 'undone', d.photo_id, jsonb_build_object('decision', p_decision, 'verdict', d.verdict, 'again', b.state));
  -- last, so that what is told of the photo has its tags
  update photos p
  set state = b.state, category = b.category, human = b.human, rule = b.rule, reason = b.reason, failure = b.failure,
      decided_by = b.decided_by, policy = b.policy, decided_at = b.decided_at
  where p.id = d.photo_id;
  perform restore_before_backfill(r.id, array[d.photo_id]) from (
    select distinct f.id from verdicts v join backfills f on f.id = v.backfill_id
    where v.photo_id = d.photo_id and f.outcome = 'rolled back') r;
  -- one of the archive too: whoever rolled back was not told of it, since it had the decision then. What is shown meanwhile is looked at soon
  update photos p set lane = 'live' where p.id = d.photo_id and p.state = 'shown' and p.decided_by like 'model:%' and p.lane <> 'live';
  insert into unqueued (photo_id)
  select p.id from photos p where p.id = d.photo_id and p.superseded_at is null
    -- while a moderator had hidden it the version that it is may have gone, or another model or policy come that would not show it
    and (p.state = 'pending' or (p.state = 'shown' and p.decided_by like 'model:%'))
  on conflict do nothing;
  return query
  select d.photo_id, 'done', (
    select c.kind from review_claims c where (c.photo_id, c.moderator, c.page) = (d.photo_id, p_moderator, p_page));
end $$;

-- As before (migrations/0011_rollups.sql), but that a model has said nothing yet of a photo that it judged before it was uploaded again.
create or replace function context_of_review(p_verdict_id bigint, p_photo_id bigint)
returns table (moderator text, at timestamptz, verdict text, model text, model_verdict text, model_rule text, model_category text)
stable language sql as $$
  select substr(v.decided_by, length('moderator:') + 1), v.decided_at, v.verdict, m.decided_by, m.verdict, m.rule, m.category
  from verdicts v join photos p on p.id = p_photo_id
  left join lateral (
    select b.decided_by, b.verdict, b.rule, b.category from verdicts b
    where b.photo_id = p_photo_id and b.id < p_verdict_id and b.decided_by like 'model:%' and b.rule <> 'undo'
      and (p.version <> '' or p.revived_at is null or b.decided_at >= p.revived_at)
    order by b.id desc limit 1
  ) m on true
  where v.id = p_verdict_id
$$;
