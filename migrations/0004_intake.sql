-- Up Migration

-- What is remembered of every object that an event spoke of, so that an older event never undoes a newer one.
create table object_order (
  store     text not null,
  bucket    text collate "C" not null,
  key       text collate "C" not null,
  version   text collate "C" not null default '',
  latest    text,
  removed   boolean not null default false,
  told      timestamptz,
  primary key (store, bucket, key, version)
);
comment on column object_order.latest is 'The highest order seen; null where no event had one';

-- What is committed here and not yet in a queue; empty but for a moment, unless a queue was away.
create table unqueued (
  photo_id bigint primary key references photos on delete cascade,
  since    timestamptz not null default now()
);
comment on table unqueued is 'Photos that an event made known and that no queue is known to hold.';

-- An order as text that compares as the orders do: the shorter of two is filled up with zeros on the side p_pad.
create function order_key(p_order text, p_pad text) returns text immutable language sql as $$
  select (case p_pad when 'right' then rtrim(p_order, '0') else lpad(ltrim(p_order, '0'), 64, '0') end) collate "C"
$$;

-- Whether a photo was told of without a version id: by its etag, its order, or nothing. The bucket may have one all the same.
create function has_no_id(p_version text) returns boolean immutable language sql as $$
  select p_version = '' or p_version like 'etag:%' or p_version like 'generation:%'
$$;

-- Takes the current photos of an object out of the public, and of what waits for a queue: of p_version alone where one is
-- given ('null': of those without a version id), and never the photo p_keep. Returns the newest of those it took.
create function withdraw_photos(p_store text, p_bucket text, p_key text, p_version text, p_keep bigint)
returns bigint language sql as $$
  with gone as (
    update photos p set superseded_at = now()
    where (p.store, p.bucket, p.key) = (p_store, p_bucket, p_key) and p.superseded_at is null
      and (p_version in ('', p.version) or (p_version = 'null' and has_no_id(p.version))) and p.id is distinct from p_keep
    returning p.id
  ), forgotten as (
    delete from unqueued u using gone where u.photo_id = gone.id
  )
  select max(id) from gone;
$$;

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

-- Makes photos known; one element of each array a photo, in order. A photo already known is left as it is,
-- except that what was not known of it is filled in. The version that is registered is the current one, also when
-- it is an old one that came back (see forget_bytes); it supersedes the others of its object, which are thereby no longer public.
-- Of two versions of one object in one call the last is the current one.
-- A plain listing has no version ids, and says of no upload, so what it gives the etag of
--   - does not replace a version or generation that an event named, nor what was told of without a version, whose verdict would go
--     with it, unless that one failed: the photo that is current is returned;
--   - makes no photo of an object of which a version id is known, and none of which is current (see photos_of_objects): its newest
--     photo of a version id stands in for it, stays withdrawn, and has the state 'withdrawn' here.
-- p_looked: before the caller asked the store for them; what was withdrawn or replaced since stays so. Null: they are there now.
-- Returns, in order: the id, the state, the version, which may be another one than was given, and whether this call made the row.
-- Locks: as record_events, of the objects those that are new.
create function register_photos(
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
    select u.store, u.bucket, u.key, coalesce(c.version, u.version) as version, u.listing, u.uploader, u.claimed, u.n,
      coalesce(c.withdrawn, false) as withdrawn
    from unnest(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed)
      with ordinality as u (store, bucket, key, version, listing, uploader, claimed, n)
    left join lateral (
      select p.version, p.superseded_at is not null as withdrawn from photos p
      where (p.store, p.bucket, p.key) = (u.store, u.bucket, u.key)
        and case
          when p.superseded_at is null then p.registered_at > p_looked
            or (u.store = 's3' and u.version like 'etag:%' and p.version not like 'etag:%' and (p.version <> '' or p.state <> 'failed'))
          else u.store = 's3' and u.version like 'etag:%' and not has_no_id(p.version) and not exists (
            select from photos k where (k.store, k.bucket, k.key) = (u.store, u.bucket, u.key) and k.superseded_at is null) end
      order by p.superseded_at is not null, p.id desc limit 1
    ) c on true
  ), ordered as (
    -- of two versions of one object the one that was named last is the current one
    select *, withdrawn or max(n) over (partition by store, bucket, key) > max(n) over (partition by store, bucket, key, version) as replaced
    from input
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
  select w.id, case when i.withdrawn then 'withdrawn' else w.state end, w.version, w.fresh
  from input i join written w using (store, bucket, key, version)
  order by i.n;
  -- the rows were only to be waited for: an archive must not leave one for each of its objects
  delete from object_order o using unnest(made) m
  where (o.store, o.bucket, o.key, o.version) = (m.store, m.bucket, m.key, m.version);
end $$;

-- Forgets that photos had to be queued, once a queue holds them. Waits for nobody, so that it is in no deadlock: what others
-- hold, such as a photo that an event withdraws, is at worst queued once more.
create function mark_queued(p_photo_ids bigint[]) returns void language sql as $$
  delete from unqueued where photo_id in (
    select photo_id from unqueued where photo_id = any (p_photo_ids) for update skip locked);
$$;
