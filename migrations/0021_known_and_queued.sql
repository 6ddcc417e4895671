-- Up Migration

-- As feed_backfill, of the photos p_photo_ids and of those of objects, which it makes known as photos_of_objects does, in one
-- transaction: of a run that was stopped, rests, or was fed by another feeder meanwhile nothing is known that waits for nobody.
-- Arrays: one element an object; objects may be of several buckets.
-- Locks: the backfill, but its key; where something is told of an object, the photos that are known in the order of their ids, as
-- whoever commits verdicts does: what is filled in is held while the others are waited for; then as photos_of_objects, by bucket.
create function feed_page(
  p_id bigint, p_from jsonb, p_cursor jsonb, p_read_all boolean, p_unreadable bigint, p_photo_ids bigint[],
  p_store text[], p_bucket text[], p_key text[], p_version text[], p_listing text[], p_uploader text[], p_claimed text[]
) returns setof photos language plpgsql as $$
declare
  ids bigint[] := p_photo_ids;
  b record;
begin
  perform 1 from backfills where id = p_id for no key update;
  if exists (select from unnest(p_listing || p_uploader || p_claimed) as told where told is not null) then
    -- "offset 0" as in photos_of_objects
    perform 1 from photos p
    where p.id in (
      select k.id from unnest(p_store, p_bucket, p_key) as i (store, bucket, key) cross join lateral (
        select c.id from photos c
        where (c.store, c.bucket, c.key) = (i.store, i.bucket, i.key) and c.superseded_at is null offset 0) k)
    order by p.id for no key update;
  end if;
  for b in
    select i.store, i.bucket, array_agg(i.key order by i.n) as keys, array_agg(i.version order by i.n) as versions,
      array_agg(i.listing order by i.n) as listings, array_agg(i.uploader order by i.n) as uploaders, array_agg(i.claimed order by i.n) as claims
    from unnest(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed)
      with ordinality as i (store, bucket, key, version, listing, uploader, claimed, n)
    group by i.store, i.bucket order by i.store, i.bucket collate "C"
  loop
    ids := ids || array(select photos_of_objects(b.store, b.bucket, b.keys, b.versions, b.listings, b.uploaders, b.claims));
  end loop;
  return query select * from feed_backfill(p_id, p_from, p_cursor, p_read_all, ids, p_unreadable);
end $$;

-- As register_photos; what has no verdict is put into unqueued, in the same transaction. The caller queues it after the commit, and
-- then calls mark_queued: where it is killed before, somebody else queues it.
create function take_in(
  p_store text[], p_bucket text[], p_key text[], p_version text[],
  p_listing text[], p_uploader text[], p_claimed text[], p_lane text, p_looked timestamptz default null
) returns table (id bigint, state text, version text, fresh boolean) language sql as $$
  with known as materialized (
    select * from register_photos(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed, p_lane, p_looked)
      with ordinality as k (id, state, version, fresh, n)
  ), waiting as (
    insert into unqueued (photo_id) select distinct k.id from known k where k.state = 'pending' order by 1 on conflict do nothing
  )
  select k.id, k.state, k.version, k.fresh from known k order by k.n
$$;
