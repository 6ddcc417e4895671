-- Up Migration

-- As before (migrations/0009_backfills.sql), but:
--   - what names no version id makes no photo of an object of which a version id is known, and none of which is current: it may be an older
--     version that is the latest again, which no event tells, and which a moderator had hidden. A sweep asks the bucket which it is. Its
--     newest photo is returned in its place, which whoever feeds it skips, as it is withdrawn;
--   - of several versions of one object the last is the current one, as in register_photos, and not any of them.
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

-- As before (migrations/0018_other_bytes.sql), but that an etag makes no photo of such an object here either: its newest photo of a version id
-- stands in for it, stays withdrawn, and has the state 'withdrawn' here.
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

-- As before (migrations/0019_verdicts_of_now.sql), but of photos whose id is above p_after, as rollback_backfill: the index keeps what pages before have
-- deleted until vacuum comes, and each page went over all of it. Returns the last id that it looked at, null where there is none above.
-- What is proposed meanwhile may lie below: begin again at 0 until none is left. The one before stays, for commands of the version before that run on.
create function apply_proposals(
  p_id bigint, p_after bigint, p_limit integer, p_by text, out last_id bigint, out taken bigint, out changed bigint
) language plpgsql as $$
declare
  run backfills;
  ids bigint[];
  items jsonb;
begin
  run := backfill_that_is_over(p_id);
  if not run.propose then raise exception 'backfill % gave verdicts, not proposals: maitred backfill rollback undoes them', p_id using errcode = 'MD409'; end if;
  if run.outcome = 'rolled back' then raise exception 'backfill % was rolled back', p_id using errcode = 'MD409'; end if;
  ids := array(
    select s.photo_id from proposals s where s.backfill_id = p_id and s.photo_id > p_after order by s.photo_id limit p_limit);
  -- first, as everybody locks photos before what speaks of them
  perform 1 from photos p where p.id = any (ids) order by p.id for update;
  with gone as (
    delete from proposals s where s.backfill_id = p_id and s.photo_id = any (ids) returning s.item
  )
  select coalesce(jsonb_agg(item), '[]'), count(*) into items, taken from gone;
  select count(*) into changed from record_verdicts(items) v where v.changed;
  if taken > 0 or run.outcome is null then perform note_outcome(run, 'applied', 'applied', p_by); end if;
  last_id := ids[cardinality(ids)];
end $$;

-- As before (migrations/0009_backfills.sql), but of photos whose id is above p_after, as apply_proposals.
create function discard_proposals(
  p_id bigint, p_after bigint, p_limit integer, p_by text, out last_id bigint, out gone bigint
) language plpgsql as $$
declare
  run backfills;
begin
  run := backfill_that_is_over(p_id);
  if not run.propose then raise exception 'backfill % gave verdicts, not proposals: maitred backfill rollback undoes them', p_id using errcode = 'MD409'; end if;
  with page as (
    delete from proposals s where s.backfill_id = p_id and s.photo_id in (
      select photo_id from proposals where backfill_id = p_id and photo_id > p_after order by photo_id limit p_limit)
    returning s.photo_id
  )
  select max(photo_id), count(*) into last_id, gone from page;
  if gone > 0 or run.outcome is null then
    perform note_outcome(run, coalesce(run.outcome, 'discarded'), 'discarded', p_by);
  end if;
end $$;

-- As before (migrations/0009_backfills.sql), but that each photo that waits is looked up by itself: of some thousands among a million Postgres read
-- all photos rather, at each round of a feeder.
create or replace function end_backfills() returns setof bigint language plpgsql as $$
declare read_through bigint[];
begin
  delete from backfill_photos where (photo_id, backfill_id) in (
    select w.photo_id, w.backfill_id from backfill_photos w
    cross join lateral (select from photos p where p.id = w.photo_id and p.superseded_at is not null offset 0) p
    for update of w skip locked);
  -- a statement of its own, so that the next one sees what was fed or is to be tried again before the lock was had
  read_through := array(
    select b.id from backfills b
    where b.state = 'running' and b.read_all and not exists (select from backfill_photos w where w.backfill_id = b.id)
    for no key update skip locked);
  return query
  update backfills b set state = 'done', ended_at = now()
  where b.id = any (read_through)
    and not exists (select from backfill_photos w where w.backfill_id = b.id)
    and not exists (select from backfill_retries r where r.backfill_id = b.id)
  returning b.id;
end $$;
