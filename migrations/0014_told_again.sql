-- Up Migration

-- As before (migrations/0006_intake.sql), but for p_events' told: when it was said, of events that have no order. A version that was
-- replaced or removed since, or that is named and of an object whose events have orders, is then an old word: it is stale, and what it
-- knows of the photo is added. So is one that a moderator had shown, as their verdict outlives what a worker sees. Where it makes another
-- photo current that was shown before, a worker looks whether its bytes are there.
create or replace function record_events(p_events jsonb, p_pad text)
returns table (photo_id bigint, outcome text, queue boolean) language plpgsql as $$
declare
  e record;
  seen object_order;
  unnamed object_order;
  photo photos;
  told photos;
  named boolean;
  revived boolean;
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

    if e.kind = 'removed' and e.version not in ('', 'null') then
      insert into object_order (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, e.version, e.ord, true) on conflict do nothing;
      outcome := case when found then 'removed' else 'duplicate' end;
      perform withdraw_photos(e.store, e.bucket, e.key, e.version, null);
      if outcome = 'removed' then
        update photos p set superseded_at = case when p.decided_by like 'moderator:%' then now() end, lane = 'live'
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state = 'shown'
          and has_no_id(p.version);
        insert into unqueued (photo_id)
        select p.id from photos p
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state = 'shown'
          and has_no_id(p.version)
        on conflict do nothing;
      end if;
    elsif order_key(e.ord, p_pad) <= order_key(seen.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(seen.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif order_key(e.ord, p_pad) <= order_key(unnamed.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(unnamed.latest, p_pad) then 'duplicate' else 'stale' end;
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
      photo.superseded_at > e.told + interval '1 second'
      or (e.version <> '' and seen.latest is not null)
      or (photo.state = 'shown' and photo.decided_by like 'moderator:%')) then
      outcome := 'stale';
      update photos p set listing = coalesce(p.listing, e.listing), uploader = coalesce(p.uploader, e.uploader),
        claimed = coalesce(p.claimed, e.claimed)
      where p.id = photo.id;
    else
      revived := e.told is not null and e.ord is null and photo.superseded_at is not null;
      outcome := case when photo.superseded_at is null and photo.state <> 'failed' then 'known' else 'accepted' end;
      select * into told from photos p
      where (p.store, p.bucket, p.key, p.version) = (e.store, e.bucket, e.key, '') and p.superseded_at is null;
      insert into photos as p (store, bucket, key, version, listing, uploader, claimed)
      values (e.store, e.bucket, e.key, e.version, coalesce(e.listing, told.listing), coalesce(e.uploader, told.uploader),
        coalesce(e.claimed, told.claimed))
      on conflict on constraint photos_store_bucket_key_version_key do update
        set superseded_at = null,
            listing = coalesce(p.listing, excluded.listing),
            uploader = coalesce(p.uploader, excluded.uploader),
            claimed = coalesce(p.claimed, excluded.claimed)
      returning p.* into photo;
      photo_id := photo.id;
      perform withdraw_photos(e.store, e.bucket, e.key, '', photo.id);
      if revived and photo.state = 'shown' then
        -- nothing tells whether its bytes are those of today: a worker looks
        update photos p set lane = 'live' where p.id = photo.id;
      end if;
      if photo.state in ('pending', 'failed') or (revived and photo.state = 'shown') then
        insert into unqueued (photo_id) values (photo.id) on conflict do nothing;
      end if;
    end if;

    if outcome in ('accepted', 'known', 'removed') and (e.kind = 'created' or e.version = '') then
      update object_order o set latest = coalesce(e.ord, o.latest), removed = e.kind = 'removed'
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    end if;
    -- the caller knows of no version but the one that it gave
    queue := e.kind = 'created' and named and exists (select from unqueued u where u.photo_id = photo.id);
    return next;
  end loop;
end $$;
