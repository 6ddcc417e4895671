-- Up Migration

-- As in 0003_verdicts.sql, but that an item says when its bytes were asked for, and not how old they are: a statement may be
-- held up on its way, and what was fetched before the photo was uploaded again would seem to be of the bytes of today. It may have
--   looked    the time of Postgres before its bytes were asked for; of those alone for which that counts.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
begin
  -- a statement of its own, so that the next one sees what a rival committed while this one waited
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;

  return query
  with input as (
    select distinct on (i.id) i.*, e.item,
      -- a worker of before, which this migration finds running, says how old its bytes are instead
      coalesce(i.looked, now() - make_interval(secs => i.age)) as asked_at
    from jsonb_array_elements(p_items) as e (item), jsonb_to_record(e.item) as i (
      id bigint, verdict text, rule text, reason text, category text, human real, scores jsonb, tags jsonb,
      by text, policy text, batch text, known jsonb, failure text, transient boolean, age double precision, looked timestamptz,
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
        when locked.version = '' and input.asked_at < locked.revived_at then false
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
          and coalesce(input.asked_at > locked.decided_at, false)
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
      case when w.differs and w.proposed and s.propose then w.item - 'counted' - 'fed' - 'age' - 'looked' || jsonb_build_object(
        'over', w.standing, 'fetched', w.asked_at) end as proposal
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

-- As in 0010_outbox.sql. Where the latest event of an object is a later one, those who tag objects are told again of its photo that is
-- known by its etag: an upload of the same bytes changes nothing of the photo, and takes the tags from its object.
create or replace function write_outbox() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare changed bigint[];
begin
  if not exists (select from destinations where enabled) then
    return null;
  end if;
  if tg_table_name = 'object_order' then
    perform tell(array[p.id], d.id)
    from photos p join destinations d on d.enabled and d.kind = 's3-tags' and coalesce(d.bucket, p.bucket) = p.bucket
    where (p.store, p.bucket, p.key) = (new.store, new.bucket, new.key) and p.superseded_at is null and p.version like 'etag:%'
      -- a first event mostly is of the upload that something else had told of
      and p.state <> 'pending' and (old.latest is not null or new.told > p.decided_at);
    return null;
  end if;
  -- "except" compares nulls too, and never becomes a loop within a loop, however many rows there are
  changed := array(
    select id from (
      select id, state, decided_by, decided_at, superseded_at, listing, uploader, claimed from after where state <> 'pending'
      except
      select id, state, decided_by, decided_at, superseded_at, listing, uploader, claimed from before) c
    union all
    (select id from after where state = 'pending' intersect select id from before where state <> 'pending'));
  if cardinality(changed) > 0 then
    perform tell(changed);
  end if;
  return null;
end $$;
create trigger object_order_outbox after update of latest on object_order for each row
  when (new.version = '' and new.latest is distinct from old.latest and not new.removed and not old.removed)
  execute function write_outbox();
