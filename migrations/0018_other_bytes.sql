-- Up Migration

alter table photos add column revived_at timestamptz;
comment on column photos.revived_at is 'When it was last current again after it had been withdrawn; null: never';
alter table object_order add column told timestamptz;
comment on column object_order.told is 'When the latest was said of what was told of the object as a whole; null where that is not known';

-- Of withdrawn photos that are about to be current again, and of which nothing but the key says which bytes they are: no verdict stands
-- or failure any more, nothing is proposed, and no moderator holds them. Before they are current, so that nobody is shown or told what was
-- said of other bytes. What a moderator had hidden stays hidden, which history says anew. Its caller has locked them.
create function forget_bytes(p_ids bigint[]) returns void language plpgsql as $$
declare
  ids bigint[] := array(select id from photos where id = any (p_ids) and version = '');
  judged bigint[] := array(
    select id from photos
    where id = any (ids) and state <> 'pending' and not (state = 'hidden' and decided_by like 'moderator:%'));
begin
  if ids = '{}' then
    return;
  end if;
  delete from proposals where photo_id = any (ids);
  delete from review_claims where photo_id = any (ids);
  update photos set revived_at = clock_timestamp() where id = any (ids);
  insert into verdicts (photo_id, verdict, rule, reason, category, decided_by, decided_at)
  select id, state, 'uploaded-again', 'uploaded again after it was removed, and hidden as before', category, decided_by, clock_timestamp()
  from photos where id = any (ids) and state = 'hidden' and decided_by like 'moderator:%';
  delete from tags where photo_id = any (judged);
  update photos
  set state = 'pending', category = null, human = null, rule = 'uploaded-again',
      reason = 'uploaded again after it was removed: its bytes may be others', failure = null, decided_by = null, policy = null, decided_at = null,
      lane = 'live'
  where id = any (judged);
end $$;

-- As before (migrations/0014_told_again.sql), but:
--   - one that is known by nothing but its key, and is current again, has the verdict of other bytes: it is pending, and judged anew, unless
--     a moderator had hidden it;
--   - what was said a minute before the latest that is known, and has no order, removes nothing, and makes no other photo current;
--   - where a version is gone for good, a worker also looks at what is hidden or in review, as that may be shown later.
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
      where (p.store, p.bucket, p.key, p.version) = (e.store, e.bucket, e.key, '') and p.superseded_at is null;
      insert into photos as p (store, bucket, key, version, listing, uploader, claimed)
      values (e.store, e.bucket, e.key, e.version, coalesce(e.listing, told.listing), coalesce(e.uploader, told.uploader),
        coalesce(e.claimed, told.claimed))
      on conflict on constraint photos_store_bucket_key_version_key do update
        set superseded_at = null,
            revived_at = case when p.superseded_at is null or p.version = '' then p.revived_at else clock_timestamp() end,
            listing = coalesce(p.listing, excluded.listing),
            uploader = coalesce(p.uploader, excluded.uploader),
            claimed = coalesce(p.claimed, excluded.claimed)
      returning p.* into photo;
      photo_id := photo.id;
      perform withdraw_photos(e.store, e.bucket, e.key, '', photo.id);
      if e.told is not null and e.ord is null and photo.state = 'shown' and again then
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

-- As before (migrations/0010_sweeps.sql), but that a removal also erases where the same call has a later upload.
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
    where e.kind = 'removed' and p.superseded_at is not null
      -- one that comes twice is of a version that is gone for good, or had its effect
      and outcomes[e.n] in ('removed', 'known', case when e.version not in ('', 'null') then 'duplicate' end)
      and (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key)
      and (e.version in ('', p.version) or (e.version = 'null' and has_no_id(p.version)))
      -- what an upload after it in the same call made current was withdrawn by something else
      and not exists (
        select from unnest(ids, outcomes) with ordinality as l (id, outcome, n)
        where l.n > e.n and l.id = p.id and l.outcome in ('accepted', 'known'));
  end if;
  return query select * from unnest(ids, outcomes, queues);
end $$;

-- As before (migrations/0016_decided_stays.sql), but that of two versions of one object in one call only the last is current, and with
-- forget_bytes, as above.
create or replace function register_photos(
  p_store text[], p_bucket text[], p_key text[], p_version text[],
  p_listing text[], p_uploader text[], p_claimed text[], p_lane text, p_looked timestamptz default null
) returns table (id bigint, state text, version text, fresh boolean) language plpgsql as $$
#variable_conflict use_column
declare made object_order[];
begin
  -- of objects that nobody knows there is no photo to lock, so that whoever is told of them is waited for as in record_events
  with new as (
    insert into object_order as o (store, bucket, key)
    select distinct i.store, i.bucket, i.key from unnest(p_store, p_bucket, p_key) as i (store, bucket, key)
    where not exists (select from photos p where (p.store, p.bucket, p.key) = (i.store, i.bucket, i.key)) order by 1, 2, 3
    on conflict (store, bucket, key, version) do update set latest = o.latest where false returning o.*
  )
  select array_agg(n::object_order) into made from new n;
  -- in the order in which everybody locks photos, and not in that of their keys
  perform 1 from photos p
  where (p.store, p.bucket, p.key) in (select * from unnest(p_store, p_bucket, p_key)) order by p.id for update;
  perform forget_bytes(array(
    select p.id from unnest(p_store, p_bucket, p_key, p_version) as i (store, bucket, key, version)
    join photos p on (p.store, p.bucket, p.key, p.version) = (i.store, i.bucket, i.key, i.version)
    where p.version = '' and p.superseded_at is not null and p.superseded_at > p_looked is not true
      and not exists (
        select from photos c
        where (c.store, c.bucket, c.key) = (i.store, i.bucket, i.key) and c.superseded_at is null and c.registered_at > p_looked)));
  -- "do update", not "do nothing": it locks the row, so a rival's uncommitted one is waited for and returned
  return query
  with input as (
    select u.store, u.bucket, u.key, coalesce(c.version, u.version) as version, u.listing, u.uploader, u.claimed, u.n
    from unnest(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed)
      with ordinality as u (store, bucket, key, version, listing, uploader, claimed, n)
    left join lateral (
      select p.version from photos p
      where (p.store, p.bucket, p.key) = (u.store, u.bucket, u.key) and p.superseded_at is null
        and (p.registered_at > p_looked
          or (u.store = 's3' and u.version like 'etag:%' and p.version not like 'etag:%' and (p.version <> '' or p.state <> 'failed')))
      order by p.id desc limit 1
    ) c on true
  ), ordered as (
    -- of two versions of one object the one that was named last is the current one
    select *, max(n) over (partition by store, bucket, key) > max(n) over (partition by store, bucket, key, version) as replaced from input
  ), one_each as (
    select distinct on (store, bucket, key, version) * from ordered order by store, bucket, key, version, n
  ), written as (
    insert into photos as p (store, bucket, key, version, listing, uploader, claimed, lane, superseded_at)
    select o.store, o.bucket, o.key, o.version, o.listing, o.uploader, o.claimed, p_lane, case when o.replaced then now() end
    from one_each o order by o.store, o.bucket, o.key, o.version
    on conflict on constraint photos_store_bucket_key_version_key do update
      set superseded_at = case
            when excluded.superseded_at is not null then coalesce(p.superseded_at, now())
            when p.superseded_at > p_looked then p.superseded_at end,
          revived_at = case
            when p.version <> '' and excluded.superseded_at is null and p.superseded_at is not null and p.superseded_at > p_looked is not true
            then clock_timestamp() else p.revived_at end,
          listing = coalesce(p.listing, excluded.listing),
          uploader = coalesce(p.uploader, excluded.uploader),
          claimed = coalesce(p.claimed, excluded.claimed)
    returning p.id, p.state, p.store, p.bucket, p.key, p.version, p.superseded_at, (p.xmax = 0) as fresh
  ), superseded as (
    update photos p set superseded_at = now()
    from written w
    where p.superseded_at is null and w.superseded_at is null
      and (p.store, p.bucket, p.key) = (w.store, w.bucket, w.key) and p.version <> w.version
      and not exists (select from one_each o where (o.store, o.bucket, o.key, o.version) = (p.store, p.bucket, p.key, p.version))
  )
  select w.id, w.state, w.version, w.fresh
  from input i join written w using (store, bucket, key, version)
  order by i.n;
  -- the rows were only to be waited for: an archive must not leave one for each of its objects
  delete from object_order o using unnest(made) m
  where (o.store, o.bucket, o.key, o.version) = (m.store, m.bucket, m.key, m.version);
end $$;

-- As before (migrations/0008_outbox.sql), but that it also tells of photos that are current again since then.
create or replace function tell_again(p_destination text, p_since timestamptz, p_after bigint, p_limit integer)
returns table (last_id bigint, told bigint) language plpgsql as $$
declare
  d destinations;
  ids bigint[];
begin
  select * into d from destinations where id = p_destination and kind <> 'notify' for key share;
  if not found then
    raise exception 'there is no webhook or s3-tags destination %', p_destination using errcode = 'MD404';
  elsif not d.enabled then
    raise exception 'destination % is not enabled', p_destination using errcode = 'MD409';
  end if;
  select max(p.id) into last_id from (select id from photos where id > p_after order by id limit p_limit) p;
  if last_id is null then
    return;
  end if;
  ids := array(
    select p.id from photos p
    where p.id > p_after and p.id <= last_id and coalesce(d.bucket, p.bucket) = p.bucket
      -- a reason of one that is pending says why its verdict was taken back, which may be told twice: nothing says when
      and (p.state <> 'pending' or p.reason is not null)
      and case when p_since is null then p.superseded_at is null
        else p.state = 'pending' or greatest(p.decided_at, p.superseded_at, p.revived_at) >= p_since
          -- a verdict that stands again, because another was taken back, has its old time: history says when that was
          or exists (select from verdicts v where v.photo_id = p.id and v.decided_at >= p_since) end
    -- nobody changes them between the number that is taken and the commit
    order by p.id for share);
  told := tell(ids, p_destination);
  return next;
end $$;

-- What grant_roles gave until now, and then what is new here; it is called by the same name.
alter function grant_roles(text) rename to grant_roles_before_bytes;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
begin
  perform grant_roles_before_bytes(p_queue_schema);
  if to_regrole('maitred_migrator') is not null then
    begin
      alter function forget_bytes(bigint[]) owner to maitred_migrator;
      alter function grant_roles_before_bytes(text) owner to maitred_migrator;
    exception
      when insufficient_privilege then
        raise notice 'forget_bytes stays with %: only an administrator may give it to maitred_migrator', current_user;
    end;
  end if;
end $$;
