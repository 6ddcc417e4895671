-- Up Migration

-- As before (migrations/0016_decided_stays.sql), but that of photos whose version does not say which bytes they are
--   - a verdict of the same model and policy counts where it is another, of other bytes, and they were fetched after the one that stands:
--     p_items' age is how many seconds ago that was, give or take how long they are on their way;
--   - nothing counts of bytes that were fetched before the photo was uploaded again.
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
      fed boolean, backfill bigint, counted boolean, stored boolean, digest bytea, rendition boolean, tries smallint, over bigint)
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
          or (input.rendition is true) <> coalesce(standing.rendition, false)) then false
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
      select v.id, v.rendition, v.digest from verdicts v
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
        listing = coalesce(p.listing, w.known ->> 'listing'),
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
      case when w.differs and w.proposed and s.propose then w.item - 'counted' - 'fed' - 'age' || jsonb_build_object('over', w.standing) end as proposal
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

-- As before (migrations/0012_desk.sql), but that a decision is not taken back which does not stand any more, because the photo was uploaded
-- again; and that a worker looks whether what is shown by it is there, where the version does not say.
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
  -- one of the archive too: whoever rolled back was not told of it, since it had the decision then
  insert into unqueued (photo_id)
  select p.id from photos p where p.id = d.photo_id and p.superseded_at is null
    -- the version that it is may have gone while a moderator had hidden it
    and (p.state = 'pending' or (p.state = 'shown' and p.decided_by like 'model:%' and has_no_id(p.version)))
  on conflict do nothing;
  return query
  select d.photo_id, 'done', (
    select c.kind from review_claims c where (c.photo_id, c.moderator, c.page) = (d.photo_id, p_moderator, p_page));
end $$;

-- As before (migrations/0009_backfills.sql), but that photos are locked before the proposals of them.
create or replace function apply_proposals(p_id bigint, p_limit integer, p_by text, out taken bigint, out changed bigint)
language plpgsql as $$
declare
  run backfills;
  items jsonb;
begin
  run := backfill_that_is_over(p_id);
  if not run.propose then raise exception 'backfill % gave verdicts, not proposals: maitred backfill rollback undoes them', p_id using errcode = 'MD409'; end if;
  if run.outcome = 'rolled back' then raise exception 'backfill % was rolled back', p_id using errcode = 'MD409'; end if;
  -- first, as everybody locks photos before what speaks of them
  perform 1 from photos p
  where p.id in (select s.photo_id from proposals s where s.backfill_id = p_id order by s.photo_id limit p_limit) order by p.id for update;
  with page as (
    select s.photo_id from proposals s where s.backfill_id = p_id order by s.photo_id limit p_limit
  ), gone as (
    delete from proposals s using page where s.backfill_id = p_id and s.photo_id = page.photo_id returning s.item
  )
  select coalesce(jsonb_agg(item), '[]'), count(*) into items, taken from gone;
  select count(*) into changed from record_verdicts(items) v where v.changed;
  if taken > 0 or run.outcome is null then perform note_outcome(run, 'applied', 'applied', p_by); end if;
end $$;

-- As before (migrations/0015_desk_again.sql), but that nothing is shown of which the moderator saw what was there before it was uploaded again.
create or replace function decide_reviews(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  i record;
  photo photos;
  known review_decisions;
  claim review_claims;
  before jsonb;
  written bigint;
begin
  perform 1 from photos p
  where p.id in (select t.photo from jsonb_to_recordset(p_items) as t (photo bigint)) order by p.id for update;
  perform 1 from review_claims c
  where c.photo_id in (select t.photo from jsonb_to_recordset(p_items) as t (photo bigint)) order by c.photo_id for update;
  for i in
    select * from rows from (jsonb_to_recordset(p_items) as (
      id uuid, photo bigint, verdict text, category text, human boolean, note text, "asOf" bigint, appeal timestamptz
    )) with ordinality as t (id, photo, verdict, category, human, note, seen, appeal, n) order by n
  loop
    id := i.id;
    photo_id := i.photo;
    other := null;
    select * into photo from photos p where p.id = i.photo;
    select * into known from review_decisions d where d.id = i.id;
    select * into claim from review_claims c where c.photo_id = i.photo;
    select max(v.id) into as_of from verdicts v where v.photo_id = i.photo;
    if known.id is not null then
      outcome := case
        when (known.moderator, known.photo_id, known.verdict, known.category, known.human)
          is distinct from (p_moderator, i.photo, i.verdict, i.category, i.human) then 'clash'
        when known.undone_at is not null then 'changed'
        else 'known' end;
      other := case when outcome = 'changed' then p_moderator end;
    elsif photo.id is null then
      outcome := 'gone';
    elsif photo.superseded_at is not null
      -- it was uploaded again, and what was looked at may be other bytes
      or (photo.version = '' and photo.revived_at is not null and i.verdict = 'shown' and not exists (
        select from verdicts v where v.photo_id = i.photo and v.id <= i.seen and v.decided_at >= photo.revived_at)) then
      outcome := 'withdrawn';
    elsif claim.moderator <> p_moderator and claim.until > now() then
      outcome := 'taken';
      other := claim.moderator;
    elsif photo.decided_by like 'moderator:%' and photo.decided_by <> 'moderator:' || p_moderator and exists (
      -- what an undo restored was known before
      select from verdicts v
      where v.photo_id = i.photo and v.id > i.seen and v.decided_by = photo.decided_by and v.rule <> 'undo') then
      outcome := 'changed';
      other := substr(photo.decided_by, 11);
    else
      claim := case when claim.moderator = p_moderator then claim end;
      before := photo_before(photo);
      written := record_review(
        i.photo, p_moderator, i.verdict, i.category, i.human, coalesce(claim.kind = 'audit', false), i.note);
      insert into review_decisions (id, photo_id, moderator, kind, verdict, category, human, verdict_id, before)
      values (i.id, i.photo, p_moderator, claim.kind, i.verdict, i.category, i.human, written,
        before);
      update appeals a set answered_at = now(), decision_id = i.id where a.photo_id = i.photo and a.answered_at is null
        and (claim.kind = 'appeal' or a.at <= i.appeal);
      delete from review_claims c where c.photo_id = i.photo;
      insert into audit_log (who, did, photo, about)
      values (p_moderator, 'decided', i.photo, jsonb_strip_nulls(jsonb_build_object('decision', i.id, 'verdict', i.verdict,
        'before', photo.state, 'category', i.category, 'human', i.human, 'kind', claim.kind)));
      outcome := 'done';
      as_of := written;
    end if;
    state := case outcome when 'done' then i.verdict else photo.state end;
    return next;
  end loop;
end $$;

-- As before (migrations/0009_backfills.sql), but that no verdict stands again that is of what was there before it was uploaded again.
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
    delete from tags t using standing s
    where t.photo_id = s.id and not exists (select from due d where d.id = t.photo_id and d.category = t.category)
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
