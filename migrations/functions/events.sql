-- An order as text that compares as the orders do: the shorter of two is filled up with zeros on the side p_pad.
create or replace function order_key(p_order text, p_pad text) returns text immutable language sql as $$
  select (case p_pad when 'right' then rtrim(p_order, '0') else lpad(ltrim(p_order, '0'), 64, '0') end) collate "C"
$$;

-- Whether a photo was told of without a version id: by its etag, its order, or nothing. The bucket may have one all the same.
create or replace function has_no_id(p_version text) returns boolean immutable language sql as $$
  select p_version = '' or p_version like 'etag:%' or p_version like 'generation:%'
$$;

-- Acts on events in one transaction. p_events: a JSON array of {kind, store, bucket, key, version, ord, told, listing,
-- uploader, claimed}, told being when it was said, or now where that is later, as Postgres says: what a clock that is ahead had told would
-- make whatever is told next an old word; p_pad: left or right, see order_key.
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
-- An event with an order is stale too where what is current was told without one, by an upload handler, which is often quicker than the
-- event, and first so after the event was said: it would take a later photo off the page, and bring the one before back with its verdict.
-- But a handler that is late may tell of the photo before as if it were the later one, so the version of such an event is kept
-- (object_order.overtaken), as is that of what a handler took the place of. Once the event of what is current comes with a lower order, or that
-- version is deleted for good, what was kept counts: in a bucket with versions the photo before would stay on the page, since its bytes are
-- still there, and the one of today would never be judged. A sweep has seen the bucket: what it makes current took the place of nothing.
-- What was uploaded before somebody told, without an order, that it is deleted brings nothing back, however late its event comes. The clock of the
-- store may differ by a second; where it is further behind, the next sweep finds what was uploaded meanwhile.
-- No upload handler brings back a version id whose event was stale when it came and that is not kept, or whose removal was said after what it tells, where it is erased.
-- With p_erase a removal also deletes the photos that it leaves withdrawn, with their tags, verdicts, reviews and scores: of the version
-- that it names, else of the object, also where it was overtaken and is taken only now; of what came after it only what was known before it was said.
-- Returns, in order, the photo (null where none is known), whether it wants to be queued, and what became of the event:
--   accepted   the photo is current now, and was not before, or its failure is tried again
--   known      the newest event, which changes nothing that is shown
--   removed    the photo, or all photos of the object, are withdrawn
--   duplicate  it was here before
--   stale      a later event was here before
-- A photo without a verdict is put into unqueued; the caller queues it after the commit, and then calls mark_queued.
-- Locks: the objects in the order of their keys, then their photos in the order of their ids.
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
  waiting boolean;
begin
  -- of rivals that speak of one object, each waits here for the one before it, and then sees what that one committed;
  -- nothing is updated, only locked, and made anew where who was waited for has forgotten the object
  insert into object_order as o (store, bucket, key)
  select distinct i.store, i.bucket, i.key
  from jsonb_to_recordset(p_events) as i (store text, bucket text, key text) order by 1, 2, 3
  on conflict (store, bucket, key, version) do update set latest = o.latest where false;
  perform 1 from photos where id = any (array(
    select p.id from (select distinct i.store, i.bucket, i.key from jsonb_to_recordset(p_events) as i (store text, bucket text, key text)) i
    cross join lateral (select id from photos where (store, bucket, key) = (i.store, i.bucket, i.key) offset 0) p))
  order by id for update;

  for e in
    select * from rows from (jsonb_to_recordset(p_events) as (
      kind text, store text, bucket text, key text, version text, ord text, listing text, uploader text, claimed text, told timestamptz
    )) with ordinality as i (kind, store, bucket, key, version, ord, listing, uploader, claimed, told, n) order by n
  loop
    waiting := false;
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
    elsif e.kind = 'created' and e.ord is not null and seen.deleted_at > e.told + interval '1 second' then
      outcome := 'stale';
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
      waiting := photo.state in ('pending', 'failed');
      if e.told is not null and (e.ord is null or seen.latest is null) and photo.state = 'shown' and again then
        -- nothing tells whether its bytes are those of today: a worker looks
        update photos p set lane = 'live' where p.id = photo.id;
        waiting := true;
      end if;
      if waiting then
        insert into unqueued (photo_id) values (photo.id) on conflict do nothing;
      end if;
    end if;

    if outcome in ('accepted', 'known', 'removed') and (e.kind = 'created' or e.version = '') then
      update object_order o set latest = coalesce(e.ord, o.latest), removed = e.kind = 'removed',
        told = greatest(o.told, coalesce(e.told, now())),
        deleted_at = case when e.kind = 'created' and e.ord is not null then null
          when e.kind = 'removed' and e.ord is null then greatest(o.deleted_at, e.told) else o.deleted_at end,
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
    -- of what was put there just now nothing is looked up, which reads all of unqueued while the planner thinks it as small as it mostly is
    queue := e.kind = 'created' and named and (waiting or exists (select from unqueued u where u.photo_id = photo.id));
    return next;
  end loop;
end $$;
