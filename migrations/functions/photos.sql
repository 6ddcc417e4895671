-- Photos whose key begins with p_key, in p_bucket or, where that is null, in any. Of a beginning that more than 5,000 keys of
-- a bucket have, the first of them.
create or replace function photos_by_key(p_bucket text, p_key text) returns setof bigint stable language sql as $$
  with recursive buckets (store, bucket) as (
    -- from one to the next through the index, however many photos each has
    (select p.store, p.bucket from photos p order by p.store, p.bucket limit 1)
    union all
    select n.store, n.bucket from buckets b cross join lateral (
      select p.store, p.bucket from photos p where (p.store, p.bucket) > (b.store, b.bucket)
      order by p.store, p.bucket limit 1) n
  )
  select f.id from buckets b cross join lateral (
    select p.id from photos p
    where (p.store, p.bucket) = (b.store, b.bucket) and p.key >= p_key and p.key < p_key || chr(1114111)
    order by p.key limit 5000
  ) f
  where b.bucket = coalesce(p_bucket, b.bucket)
$$;

-- The first photo that was registered then or later, supposing that later photos have larger ids, which is so but for the
-- moment that a registration takes. It halves the ids again and again, so it needs no index of times.
create or replace function photo_id_at(p_at timestamptz) returns bigint stable language plpgsql as $$
declare
  low bigint := 0;
  high bigint := coalesce((select max(id) from photos), 0) + 1;
  middle bigint;
  photo record;
begin
  while low < high loop
    middle := low + (high - low) / 2;
    select id, registered_at into photo from photos where id >= middle and id < high order by id limit 1;
    if photo.id is null or photo.registered_at >= p_at then
      high := middle;
    else
      low := photo.id + 1;
    end if;
  end loop;
  return low;
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

-- As register_photos; what has no verdict is put into unqueued, in the same transaction. The caller queues it after the commit, and
-- then calls mark_queued: where it is killed before, somebody else queues it.
create or replace function take_in(
  p_store text[], p_bucket text[], p_key text[], p_version text[],
  p_listing text[], p_uploader text[], p_claimed text[], p_lane text, p_looked timestamptz default null
) returns table (id bigint, state text, version text, fresh boolean) language sql as $$
  with known as materialized (
    select * from register_photos(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed, p_lane, p_looked)
      with ordinality as k (id, state, version, fresh, n)
  ), waiting as (
    insert into unqueued (photo_id) select distinct k.id from known k where k.state in ('pending', 'failed') order by 1 on conflict do nothing
  )
  select k.id, k.state, k.version, k.fresh from known k order by k.n
$$;

-- Forgets that photos had to be queued, once a queue holds them. Waits for nobody, so that it is in no deadlock: what others
-- hold, such as a photo that an event withdraws, is at worst queued once more.
create or replace function mark_queued(p_photo_ids bigint[]) returns void language sql as $$
  delete from unqueued where photo_id in (
    select photo_id from unqueued where photo_id = any (p_photo_ids) for update skip locked);
$$;

-- Takes the current photos of an object out of the public, and of what waits for a queue: of p_version alone where one is
-- given ('null': of those without a version id), and never the photo p_keep. Returns the newest of those it took.
-- Where it takes none it changes no table, as a statement fires triggers also where it changes no row: a first upload spent a third of its time on these.
create or replace function withdraw_photos(p_store text, p_bucket text, p_key text, p_version text, p_keep bigint)
returns bigint language plpgsql as $$
declare gone bigint[];
begin
  select array_agg(p.id) into gone from photos p
  where (p.store, p.bucket, p.key) = (p_store, p_bucket, p_key) and p.superseded_at is null
    and (p_version in ('', p.version) or (p_version = 'null' and has_no_id(p.version))) and p.id is distinct from p_keep;
  if gone is not null then
    update photos p set superseded_at = now() where p.id = any (gone);
    delete from unqueued u where u.photo_id = any (gone);
  end if;
  return (select max(id) from unnest(gone) id);
end $$;

-- The current photos of objects of one bucket, as a listing or an inventory names them; what is not known yet is made known.
-- A listing may be old: it neither replaces what an event made current, nor brings back what an event removed. Of several versions of
-- one object the last is the current one, as in register_photos.
-- What names no version id makes no photo of an object of which a version id is known, and none of which is current: it may be an older
-- version that is the latest again, which no event tells, and which a moderator had hidden. A sweep asks the bucket which it is. Its
-- newest photo is returned in its place, which whoever feeds it skips, as it is withdrawn.
-- Arrays: one element an object; version is that of a photo that is new. Listing, uploader and claimed are filled in where they
-- are not known of the photo that is current, as register_photos does, and replace nothing. What is said of another version is
-- left out, as far as that can be told: an etag may be that of any version id.
-- Locks: the objects that are new, so that an event about one of them comes before or after, never between; then the photos that
-- it fills in, in the order of their ids.
create or replace function photos_of_objects(
  p_store text, p_bucket text, p_key text[], p_version text[], p_listing text[], p_uploader text[], p_claimed text[]
) returns setof bigint language plpgsql as $$
declare
  fresh text[];
  ours text[];
begin
  -- "offset 0": each key is looked up by itself. A bucket of which statistics know nothing yet is taken for one photo, and all of
  -- it would be read for every page.
  select array_agg(distinct k) into fresh from unnest(p_key) k
  where not exists (
    select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, k) and p.superseded_at is null offset 0);
  if fresh is not null then
    with made as (
      insert into object_order as o (store, bucket, key) select p_store, p_bucket, k from unnest(fresh) k order by k
      on conflict (store, bucket, key, version) do update set latest = o.latest where false returning key
    )
    select array_agg(key) into ours from made;
    insert into photos (store, bucket, key, version, listing, uploader, claimed, lane)
    select distinct on (i.key) p_store, p_bucket, i.key, i.version, i.listing, i.uploader, i.claimed, 'backfill'
    from unnest(p_key, p_version, p_listing, p_uploader, p_claimed) with ordinality as i (key, version, listing, uploader, claimed, n)
    where i.key = any (fresh)
      and not exists (
        select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, i.key) and p.superseded_at is null offset 0)
      and not exists (
        select from object_order o
        where (o.store, o.bucket, o.key) = (p_store, p_bucket, i.key) and o.version in ('', i.version) and o.removed offset 0)
      and not (has_no_id(i.version) and exists (
        select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, i.key) and not has_no_id(p.version) offset 0))
    order by i.key, i.n desc
    on conflict do nothing;
    -- the row was only to be waited for: an archive must not leave one for each of its objects
    delete from object_order o
    where (o.store, o.bucket, o.version) = (p_store, p_bucket, '') and o.key = any (ours) and o.latest is null and not o.removed;
  end if;
  with told as (
    -- store and bucket for the same reason as "offset 0" above
    select distinct on (i.key) p_store as store, p_bucket as bucket, i.*
    from unnest(p_key, p_version, p_listing, p_uploader, p_claimed) with ordinality as i (key, version, listing, uploader, claimed, n)
    where coalesce(i.listing, i.uploader, i.claimed) is not null order by i.key, i.n desc
  ), locked as materialized (
    select p.id, t.listing, t.uploader, t.claimed from told t
    join photos p on (p.store, p.bucket, p.key) = (t.store, t.bucket, t.key) and p.superseded_at is null
      and (p.version in ('', t.version) or t.version = '' or (p.version like 'etag:%') <> (t.version like 'etag:%'))
    where p.listing is null and t.listing is not null or p.uploader is null and t.uploader is not null
      or p.claimed is null and t.claimed is not null
    order by p.id for no key update of p
  )
  update photos p
  set listing = coalesce(p.listing, l.listing), uploader = coalesce(p.uploader, l.uploader), claimed = coalesce(p.claimed, l.claimed)
  from locked l where p.id = l.id;
  return query
    select p.id from photos p
    where p.store = p_store and p.bucket = p_bucket and p.key = any (p_key) and p.superseded_at is null
    union all
    select left_out.id from unnest(fresh) k cross join lateral (
      select p.id from photos p
      where (p.store, p.bucket, p.key) = (p_store, p_bucket, k) and not has_no_id(p.version) order by p.id desc limit 1) left_out
    where not exists (
      select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, k) and p.superseded_at is null offset 0);
end $$;
