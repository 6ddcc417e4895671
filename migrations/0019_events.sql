-- Up Migration

-- The last file, with functions alone: it is run too where the former migrations have made all the rest, some of which had these otherwise.

-- Acts on events in one transaction. p_events: a JSON array of {kind, store, bucket, key, version, ord, told, listing,
-- uploader, claimed}, told being when it was said; p_pad: left or right, see order_key.
--   created: the version is the current photo of its object, and supersedes the others. With neither version nor order it
--     is told of the photo that is current, unless that one failed; what is told so before any event is known of the
--     photo that the first event names. One that is known by nothing but its key, and is current again, has the verdict of
--     other bytes: see forget_bytes. One that takes the place of another has its listing where it is told of none, until it is:
--     what a handler tells of a key before the event of an overwrite is told of the photo before. One that was removed passes
--     nothing on. Of a listing or an uploader told again the last counts, unless it was said before what is known;
--   removed: with a version that version alone, with 'null' what has no version id, else every version, is no longer
--     current, whatever its verdict: it is not public, and neither a model's verdict nor a moderator's makes it so. Tags and
--     history stay. What is current without a version id may be the version that went: it is queued in the lane live, so that
--     a worker looks whether its bytes are there, also where it is hidden by a model or in review, as it may be shown later. A
--     moderator's verdict outlives that, so what one has shown is withdrawn.
-- Of two events with an order their orders say which is the later. One without an order counts as the newest, as it comes, but
--   - of a version that was replaced or removed since it was said, or that is named and of an object whose events have orders, it
--     is an old word: it is stale, and what it knows of the photo is added. So is one of a photo that a moderator had shown, as
--     their verdict outlives what a worker sees. Where it makes another photo current that was shown before, a worker looks
--     whether its bytes are there;
--   - what was said a minute before the latest that is known removes nothing, and makes no other photo current.
-- The first that has an order, of an object of which no event had one, is stale where it was said before what is current was first
-- told of: by an upload handler, which is often quicker than the event. It would take a later photo off the page, and bring the
-- one before back with its verdict. But a handler that is late may tell of the photo before as if it were the later one, so such an
-- event is kept, and taken after all where what is current has by its own event the lower order: in a bucket with versions the
-- photo before would stay on the page, since its bytes are still there, and the one of today would never be judged.
-- Returns, in order, the photo (null where none is known), whether it wants to be queued, and what became of the event:
--   accepted   the photo is current now, and was not before, or its failure is tried again
--   known      the newest event, which changes nothing that is shown
--   removed    the photo, or all photos of the object, are withdrawn
--   duplicate  it was here before
--   stale      a later event was here before
-- A photo without a verdict is put into unqueued; the caller queues it after the commit, and then calls mark_queued.
-- Locks: the objects in the order of their keys, then their photos in the order of their ids.
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
  single boolean;
  overtook jsonb;
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

    -- that is of one upload, or of the object as a whole; an etag may come again
    single := case when e.kind = 'created' then e.version <> 'null' and not has_no_id(e.version) else e.version = '' end;
    overtook := null;

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
      if single and photo.superseded_at is null and photo.id is not null and order_key(e.ord, p_pad) < order_key(seen.overtaken ->> 'ord', p_pad) then
        update object_order o set latest = e.ord, overtaken = null
        where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
        perform record_events(jsonb_build_array(seen.overtaken), p_pad);
      end if;
    elsif order_key(e.ord, p_pad) <= order_key(unnamed.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(unnamed.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif outrun then
      outcome := 'stale';
      if single and (seen.overtaken is null or order_key(e.ord, p_pad) > order_key(seen.overtaken ->> 'ord', p_pad)) then
        update object_order o set overtaken = to_jsonb(e) - 'n'
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
      or (e.version <> '' and coalesce(seen.latest, seen.overtaken ->> 'ord') is not null)
      or (photo.state = 'shown' and photo.decided_by like 'moderator:%')) then
      outcome := 'stale';
      update photos p set listing = coalesce(p.listing, e.listing), uploader = coalesce(p.uploader, e.uploader),
        claimed = coalesce(p.claimed, e.claimed)
      where p.id = photo.id;
    elsif photo.id is null and e.version <> '' and late > interval '1 minute' and (seen.removed or exists (
      select from photos p where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null)) then
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
      if single and e.ord is null and (seen.removed or (told.version <> e.version and told.version <> 'null' and not has_no_id(told.version))) then
        overtook := jsonb_build_object('store', e.store, 'bucket', e.bucket, 'key', e.key, 'ord', seen.latest,
          'kind', case when seen.removed then 'removed' else 'created' end, 'version', case when seen.removed then '' else told.version end);
      end if;
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

    if outcome = 'stale' and single and e.kind = 'created' and e.ord is not null then
      -- its handler, when it is late, is to find it replaced
      insert into photos (store, bucket, key, version, listing, uploader, claimed, superseded_at)
      select e.store, e.bucket, e.key, e.version, e.listing, e.uploader, e.claimed, now()
      where not exists (
        select from object_order o where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, e.version))
      on conflict do nothing;
    end if;
    if outcome in ('accepted', 'known', 'removed') and (e.kind = 'created' or e.version = '') then
      update object_order o set latest = coalesce(e.ord, o.latest), removed = e.kind = 'removed',
        told = greatest(o.told, coalesce(e.told, now())),
        overtaken = case when e.ord is null then case when o.latest is null or o.overtaken is not null then o.overtaken else overtook end end
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
      if single and e.ord is not null and seen.overtaken is not null then
        perform from record_events(jsonb_build_array(seen.overtaken), p_pad) r where r.outcome in ('accepted', 'known', 'removed');
        if found and e.kind = 'created' then
          outcome := 'stale';
        end if;
      end if;
    end if;
    -- the caller knows of no version but the one that it gave
    queue := e.kind = 'created' and named and exists (select from unqueued u where u.photo_id = photo.id);
    return next;
  end loop;
end $$;

-- As record_events, and with p_erase a removal also deletes the photos that it leaves withdrawn, with their tags, verdicts,
-- reviews and scores: of the version that it names, else of the object; also where the same call has a later upload, and where
-- the removal was overtaken and is taken only now. The order of the latest event stays.
create or replace function record_events(p_events jsonb, p_pad text, p_erase boolean)
returns table (photo_id bigint, outcome text, queue boolean) language plpgsql as $$
declare
  ids bigint[];
  outcomes text[];
  queues boolean[];
begin
  select array_agg(r.photo_id order by r.n), array_agg(r.outcome order by r.n), array_agg(r.queue order by r.n) into ids, outcomes, queues
  from record_events(p_events, p_pad) with ordinality as r (photo_id, outcome, queue, n);
  if p_erase then
    -- record_events has locked them
    delete from photos p
    using rows from (jsonb_to_recordset(p_events) as (kind text, store text, bucket text, key text, version text))
      with ordinality as e (kind, store, bucket, key, version, n)
    where p.superseded_at is not null and (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key)
      and case when e.kind = 'removed' then
        -- one that comes twice is of a version that is gone for good, or had its effect
        outcomes[e.n] in ('removed', 'known', case when e.version not in ('', 'null') then 'duplicate' end)
          and (e.version in ('', p.version) or (e.version = 'null' and has_no_id(p.version)))
      else
        -- a removal that was overtaken has its effect with the upload before it
        outcomes[e.n] = 'stale' and exists (
          select from object_order o where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '') and o.removed)
      end
      -- what an upload after it in the same call made current was withdrawn by something else
      and not exists (
        select from unnest(ids, outcomes) with ordinality as l (id, outcome, n)
        where l.n > e.n and l.id = p.id and l.outcome in ('accepted', 'known'));
  end if;
  return query select * from unnest(ids, outcomes, queues);
end $$;
