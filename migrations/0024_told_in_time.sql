-- Up Migration

-- As before (migrations/0018_other_bytes.sql), but:
--   - what has an order, of an object of which no event had one, is stale where it was said before what is current was first told of: by an
--     upload handler, which is often quicker than the event. It took a later photo off the page, and brought the one before back with its verdict;
--   - a photo that takes the place of another has its listing where it is told of none, until it is: what a handler tells of a key before the
--     event of an overwrite is told of the photo before. One that was removed passes nothing on;
--   - of a listing or an uploader told again the last counts, unless it was said before what is known: a wrong one could not be mended.
create or replace function record_events(p_events jsonb, p_pad text)
returns table (photo_id bigint, outcome text, queue boolean) language plpgsql as $$
declare
  e record;
  seen object_order;
  unnamed object_order;
  photo photos;
  told photos;
  named boolean;
  late interval;
  outrun boolean;
  again boolean;
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
    select * into seen from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    select * into unnamed from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, 'null')
      and (e.version = 'null' or (e.kind = 'created' and has_no_id(e.version)));
    select * into photo from photos p
    where (p.store, p.bucket, p.key, p.version) = (e.store, e.bucket, e.key, e.version);
    named := true;
    if e.kind = 'created' and e.version = '' and e.ord is null then
      select * into told from photos p
      where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state <> 'failed'
      order by p.id desc limit 1;
      if found then
        named := told.version = '';
        photo := told;
        e.version := told.version;
      end if;
    end if;
    photo_id := photo.id;
    -- how much earlier it was said than what is known: of events that have an order that says which is the later
    late := case when e.ord is null and e.told is not null then coalesce(seen.told - e.told, '0') else '0' end;
    -- Of an object of whose events none had an order yet nothing but clocks tell, which may differ by a second: it is old where its photo was
    -- withdrawn, or what is current first told of, after it was said. When that was told is the earlier of two times that are never too early:
    -- of what was said last, which telling again moves, and of its row, which a queue delays. To an upload what has no version does not count,
    -- as its event is to name it, nor what has no verdict, as it may be a wrong name for the same bytes.
    outrun := e.ord is not null and seen.latest is null and (
      (e.kind = 'created' and photo.superseded_at is not null and least(photo.superseded_at, seen.told) > e.told + interval '1 second')
      or exists (
        select from photos p
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null
          and least(seen.told, greatest(p.registered_at, p.revived_at)) > e.told + interval '1 second' and seen.told is not null
          and case when e.kind = 'created' then p.version not in ('', e.version) and p.state not in ('pending', 'failed')
            else e.version = '' or has_no_id(p.version) end));

    if e.kind = 'removed' and e.version not in ('', 'null') then
      insert into object_order (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, e.version, e.ord, true) on conflict do nothing;
      outcome := case when found then 'removed' else 'duplicate' end;
      perform withdraw_photos(e.store, e.bucket, e.key, e.version, null);
      if outcome = 'removed' then
        update photos p set superseded_at = case when p.decided_by like 'moderator:%' then now() end, lane = 'live'
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null
          and (p.state in ('shown', 'review') or (p.state = 'hidden' and p.decided_by like 'model:%')) and has_no_id(p.version);
        insert into unqueued (photo_id)
        select p.id from photos p
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null
          and (p.state in ('shown', 'review') or (p.state = 'hidden' and p.decided_by like 'model:%')) and has_no_id(p.version)
        on conflict do nothing;
      end if;
    elsif order_key(e.ord, p_pad) <= order_key(seen.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(seen.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif order_key(e.ord, p_pad) <= order_key(unnamed.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(unnamed.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif outrun then
      outcome := 'stale';
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
    elsif e.kind = 'removed' then
      outcome := case when seen.removed then 'known' else 'removed' end;
      photo_id := withdraw_photos(e.store, e.bucket, e.key, '', null);
    elsif exists (
      select from object_order o
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, e.version) and e.version <> ''
    ) then
      outcome := 'stale';
    elsif e.told is not null and e.ord is null and photo.superseded_at is not null and (
      -- one clock is not the other
      greatest(photo.superseded_at - e.told, late) > interval '1 second'
      or (e.version <> '' and seen.latest is not null)
      or (photo.state = 'shown' and photo.decided_by like 'moderator:%')) then
      outcome := 'stale';
      update photos p set listing = coalesce(p.listing, e.listing), uploader = coalesce(p.uploader, e.uploader),
        claimed = coalesce(p.claimed, e.claimed)
      where p.id = photo.id;
    elsif photo.id is null and e.version <> '' and late > interval '1 minute' and exists (
      select from photos p where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null) then
      outcome := 'stale';
    else
      again := photo.superseded_at is not null;
      if again and e.version = '' then
        perform forget_bytes(array[photo.id]);
        select * into photo from photos p where p.id = photo.id;
      end if;
      outcome := case when photo.superseded_at is null and photo.state <> 'failed' then 'known' else 'accepted' end;
      select * into told from photos p
      where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null order by p.id desc limit 1;
      insert into photos as p (store, bucket, key, version, listing, inherited, uploader, claimed)
      values (e.store, e.bucket, e.key, e.version, coalesce(e.listing, told.listing),
        e.listing is null and told.listing is not null and (told.version <> '' or told.inherited),
        -- these are of bytes
        coalesce(e.uploader, case when told.version = '' then told.uploader end),
        coalesce(e.claimed, case when told.version = '' then told.claimed end))
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
        told = greatest(o.told, coalesce(e.told, now()))
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    end if;
    -- the caller knows of no version but the one that it gave
    queue := e.kind = 'created' and named and exists (select from unqueued u where u.photo_id = photo.id);
    return next;
  end loop;
end $$;

-- As before (migrations/0008_outbox.sql), but that it also tells of what is known of them: a listing often comes after the verdict.
create or replace function write_outbox() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare changed bigint[];
begin
  if not exists (select from destinations where enabled) then
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
