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
          and coalesce(input.asked_at > locked.decided_at + case when input.looked is null then interval '1 second' else '0' end, false)
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

-- As in 0019_events.sql, but that nothing was said later than now, as Postgres says: what a clock that is ahead had told would make
-- whatever is told next an old word. What comes at this moment is told 'now'.
create or replace function record_events(p_events jsonb, p_pad text, p_erase boolean default false)
returns table (photo_id bigint, outcome text, queue boolean) language plpgsql as $$
declare
  e record;
  seen object_order;
  unnamed object_order;
  photo photos;
  before photos;
  named boolean;
  late interval;
  outrun boolean;
  again boolean;
  single boolean;
  replay boolean;
begin
  -- of rivals that speak of one object, each waits here for the one before it, and then sees what that one committed;
  -- nothing is updated, only locked, and made anew where who was waited for has forgotten the object
  insert into object_order as o (store, bucket, key)
  select distinct i.store, i.bucket, i.key
  from jsonb_to_recordset(p_events) as i (store text, bucket text, key text) order by 1, 2, 3
  on conflict (store, bucket, key, version) do update set latest = o.latest where false;
  perform 1 from photos p
  where (p.store, p.bucket, p.key) in (
    select i.store, i.bucket, i.key from jsonb_to_recordset(p_events) as i (store text, bucket text, key text))
  order by p.id for update;

  for e in
    select * from rows from (jsonb_to_recordset(p_events) as (
      kind text, store text, bucket text, key text, version text, ord text, listing text, uploader text, claimed text, told timestamptz
    )) with ordinality as i (kind, store, bucket, key, version, ord, listing, uploader, claimed, told, n) order by n
  loop
    if e.told > now() then
      e.told := now();
    end if;
    select * into seen from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    select * into unnamed from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, 'null')
      and (e.version = 'null' or (e.kind = 'created' and has_no_id(e.version)));
    select * into before from photos p
    where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null order by p.id desc limit 1;
    select * into photo from photos p
    where (p.store, p.bucket, p.key, p.version) = (e.store, e.bucket, e.key, e.version);
    named := true;
    if e.kind = 'created' and e.version = '' and e.ord is null and before.state <> 'failed' then
      named := before.version = '';
      photo := before;
      e.version := before.version;
    end if;
    photo_id := photo.id;
    replay := false;
    -- that is of one upload, or of the object as a whole; an etag may come again
    single := case when e.kind = 'created' then e.version <> 'null' and not has_no_id(e.version) else e.version = '' end;
    -- how much earlier it was said than what is known: of events that have an order that says which is the later
    late := case when e.ord is null and e.told is not null then coalesce(seen.told - e.told, '0') else '0' end;
    -- Of what was told without an order nothing but clocks tell, which may differ by a second: an event is old where its photo was withdrawn, or
    -- what is current first told of, after it was said. When that was told is the earlier of two times that are never too early: of what was
    -- said last, which telling again moves, and of its row, which a queue delays. To an upload what has no version does not count, as its event
    -- is to name it, nor what has no verdict and no version id, as it may be a wrong name for the same bytes.
    outrun := e.ord is not null and (seen.latest is null or seen.overtaken is not null) and (seen.removed or before.id is not null) and (
      (e.kind = 'created' and photo.superseded_at is not null and least(photo.superseded_at, seen.told) > e.told + interval '1 second')
      or (least(seen.told, greatest(before.registered_at, before.revived_at)) > e.told + interval '1 second' and seen.told is not null
        and case when e.kind = 'created'
          then before.version not in ('', e.version) and (before.state not in ('pending', 'failed') or not has_no_id(before.version))
          else e.version = '' or has_no_id(before.version) end));

    if e.kind = 'removed' and e.version not in ('', 'null') then
      insert into object_order as o (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, e.version, e.ord, true)
      on conflict on constraint object_order_pkey do update set latest = excluded.latest, removed = true where not o.removed;
      outcome := case when found then 'removed' else 'duplicate' end;
      replay := withdraw_photos(e.store, e.bucket, e.key, e.version, null) is not null;
      if outcome = 'removed' then
        with looked_at as (
          update photos p set superseded_at = case when p.decided_by like 'moderator:%' then now() end, lane = 'live'
          where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null
            and (p.state in ('shown', 'review') or (p.state = 'hidden' and p.decided_by like 'model:%')) and has_no_id(p.version)
          returning p.id, p.superseded_at
        )
        insert into unqueued (photo_id) select l.id from looked_at l where l.superseded_at is null on conflict do nothing;
      end if;
    elsif order_key(e.ord, p_pad) <= order_key(seen.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(seen.latest, p_pad) then 'duplicate' else 'stale' end;
      -- what was told by its key alone has failed where its version is another by now
      replay := outcome = 'stale' and single and (e.version = before.version or (before.version = '' and before.state = 'failed'));
    elsif order_key(e.ord, p_pad) <= order_key(unnamed.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(unnamed.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif outrun then
      outcome := 'stale';
      -- the event of an etag never says that what took the place of this was the earlier one, as it may be of another upload
      if (case when before.version is null or before.version = '' then single
        else not has_no_id(before.version) and (single or e.kind = 'created') end) then
        update object_order o set latest = e.ord, overtaken = e.version
        where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
      end if;
      -- the store's clock may be slow. To drop what counts does the least harm: a worker sees that what is shown has other bytes by now, or none,
      -- and the next sweep finds the rest. To act on what does not count publishes other bytes, or withdraws what nobody can bring back
      with shown as (
        update photos p set lane = 'live'
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state = 'shown' returning p.id
      )
      insert into unqueued (photo_id) select id from shown on conflict do nothing;
    elsif e.kind = 'removed' and late > interval '1 minute' then
      outcome := 'stale';
    elsif e.kind = 'removed' and e.version = 'null' then
      outcome := 'removed';
      photo_id := withdraw_photos(e.store, e.bucket, e.key, 'null', null);
      insert into object_order as o (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, 'null', e.ord, true)
      on conflict on constraint object_order_pkey do update set latest = coalesce(excluded.latest, o.latest);
      update object_order o set overtaken = null
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '') and o.overtaken <> '' and has_no_id(o.overtaken);
    elsif e.kind = 'removed' then
      outcome := case when seen.removed then 'known' else 'removed' end;
      photo_id := withdraw_photos(e.store, e.bucket, e.key, '', null);
    elsif exists (
      select from object_order o
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, e.version) and e.version <> ''
        -- of what is kept a handler tells that it was not that old
        and (o.removed or (e.ord is null and e.told is not null and e.version is distinct from seen.overtaken
          and (seen.latest is not null or coalesce(e.told < o.told + interval '1 second', true))))
    ) then
      outcome := 'stale';
    elsif e.told is not null and e.ord is null and photo.superseded_at is not null and (
      -- one clock is not the other
      greatest(photo.superseded_at - e.told, late) > interval '1 second'
      or (e.version <> '' and coalesce(seen.latest, unnamed.latest) is not null)
      or (photo.state = 'shown' and photo.decided_by like 'moderator:%')) then
      outcome := 'stale';
      update photos p set listing = coalesce(p.listing, e.listing), uploader = coalesce(p.uploader, e.uploader),
        claimed = coalesce(p.claimed, e.claimed)
      where p.id = photo.id;
    elsif photo.id is null and e.version <> '' and late > interval '1 minute' and (seen.removed or before.id is not null) then
      outcome := 'stale';
      if e.version = seen.overtaken then
        insert into photos (store, bucket, key, version, listing, uploader, claimed, superseded_at)
        values (e.store, e.bucket, e.key, e.version, e.listing, e.uploader, e.claimed, now())
        on conflict do nothing returning id into photo_id;
      end if;
    else
      again := photo.superseded_at is not null;
      if again and e.version = '' then
        perform forget_bytes(array[photo.id]);
        select * into photo from photos p where p.id = photo.id;
      end if;
      outcome := case when photo.superseded_at is null and photo.state <> 'failed' then 'known' else 'accepted' end;
      insert into photos as p (store, bucket, key, version, listing, inherited, uploader, claimed)
      values (e.store, e.bucket, e.key, e.version, coalesce(e.listing, before.listing),
        e.listing is null and before.listing is not null and (before.version <> '' or before.inherited),
        -- these are of bytes
        coalesce(e.uploader, case when before.version = '' then before.uploader end),
        coalesce(e.claimed, case when before.version = '' then before.claimed end))
      on conflict on constraint photos_store_bucket_key_version_key do update
        set superseded_at = null,
            revived_at = case when p.superseded_at is null or p.version = '' then p.revived_at else clock_timestamp() end,
            listing = case when p.inherited or late <= interval '1 second' and excluded.inherited is not true then coalesce(excluded.listing, p.listing)
              else coalesce(p.listing, excluded.listing) end,
            inherited = case when p.inherited or p.listing is null then excluded.inherited else false end,
            uploader = case when late > interval '1 second' then coalesce(p.uploader, excluded.uploader)
              else coalesce(excluded.uploader, p.uploader) end,
            claimed = coalesce(p.claimed, excluded.claimed)
      returning p.* into photo;
      photo_id := photo.id;
      perform withdraw_photos(e.store, e.bucket, e.key, '', photo.id);
      if e.told is not null and (e.ord is null or seen.latest is null) and photo.state = 'shown' and again then
        -- nothing tells whether its bytes are those of today: a worker looks
        update photos p set lane = 'live' where p.id = photo.id;
        insert into unqueued (photo_id) values (photo.id) on conflict do nothing;
      elsif photo.state in ('pending', 'failed') then
        insert into unqueued (photo_id) values (photo.id) on conflict do nothing;
      end if;
    end if;

    if outcome in ('accepted', 'known', 'removed') and (e.kind = 'created' or e.version = '') then
      update object_order o set latest = coalesce(e.ord, o.latest), removed = e.kind = 'removed',
        told = greatest(o.told, coalesce(e.told, now())),
        overtaken = case when e.kind = 'created' and e.ord is null and e.told is not null and e.version is distinct from o.overtaken then
          case when o.overtaken is not null or o.latest is null or not single or e.version = before.version then o.overtaken
            when o.removed then '' else nullif(before.version, '') end end
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    elsif outcome = 'stale' and single and e.kind = 'created' and e.ord is not null and photo.id is null then
      -- its handler, when it is late, is not to bring it back
      insert into object_order (store, bucket, key, version) values (e.store, e.bucket, e.key, e.version) on conflict do nothing;
    end if;
    if replay and seen.overtaken is not null then
      -- as a sweep would, as no clock counts any more
      perform record_events(jsonb_build_array(jsonb_build_object('store', e.store, 'bucket', e.bucket, 'key', e.key, 'version', seen.overtaken,
        'kind', case seen.overtaken when '' then 'removed' else 'created' end)), p_pad, p_erase);
    end if;
    if p_erase and e.kind = 'removed' and (outcome <> 'duplicate' or e.version not in ('', 'null')) then
      with erased as (
        delete from photos p
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is not null
          and (e.version in ('', p.version) or (e.version = 'null' and has_no_id(p.version)))
          and (outcome <> 'stale' or p.registered_at < e.told)
        returning p.version
      )
      insert into object_order (store, bucket, key, version, told)
      select e.store, e.bucket, e.key, d.version, coalesce(e.told, now()) from erased d where not has_no_id(d.version)
      on conflict on constraint object_order_pkey do update set told = excluded.told;
    end if;
    -- the caller knows of no version but the one that it gave
    queue := e.kind = 'created' and named and exists (select from unqueued u where u.photo_id = photo.id);
    return next;
  end loop;
end $$;
