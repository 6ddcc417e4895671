-- Takes note that a page of the selector was read, in the transaction that says which of its photos are to be judged.
-- p_photo_ids: the photos of the page; p_from: the cursor that it was read from, p_cursor: where the next page begins.
-- Returns the photos to queue: those that are current and not decided by the backfill's model or by a moderator. What this
-- backfill has fed already is skipped, for a list may name a photo on several pages.
-- MD412: the backfill is not running, or rests because of its rate, or another feeder was faster: nothing changed.
-- Locks: the backfill, but its key, which whoever counts a verdict of it shares while they hold photos that this waits for.
create or replace function feed_backfill(
  p_id bigint, p_from jsonb, p_cursor jsonb, p_read_all boolean, p_photo_ids bigint[], p_unreadable bigint
) returns setof photos language plpgsql as $$
declare
  run backfills;
  wanted bigint[];
begin
  -- "no key": workers that count a photo of it refer to it, and hold photos that this may wait for
  select * into run from backfills where id = p_id for no key update;
  if run.state is distinct from 'running' or run.read_all or run.cursor is distinct from p_from
    or run.rests_until > clock_timestamp() then
    raise exception 'backfill % stands elsewhere', p_id using errcode = 'MD412';
  end if;
  -- "offset 0" as in photos_of_objects: a backfill of which statistics know nothing yet may have millions of rows
  select coalesce(array_agg(p.id order by p.id), '{}') into wanted from photos p
  where p.id = any (p_photo_ids) and p.superseded_at is null
    and (p.decided_by is null or p.decided_by not like 'moderator:%')
    and (run.again or p.state in ('pending', 'failed') or p.decided_by is distinct from run.model)
    and not exists (select from backfill_photos w where (w.photo_id, w.backfill_id) = (p.id, p_id) offset 0)
    and not exists (select from backfill_changes c where (c.backfill_id, c.photo_id) = (p_id, p.id) offset 0)
    and not exists (select from proposals s where (s.backfill_id, s.photo_id) = (p_id, p.id) offset 0)
    and not ((run.again or run.what ->> 'kind' = 'manifest')
      and exists (select from verdicts v where v.photo_id = p.id and v.backfill_id = p_id offset 0));
  insert into backfill_photos (photo_id, backfill_id) select unnest(wanted), p_id on conflict do nothing;
  update backfills
  set cursor = p_cursor, read_all = p_read_all, unreadable = unreadable + p_unreadable,
      rests_until = rests_after(run, cardinality(wanted)),
      seen = seen + (select count(distinct i) from unnest(p_photo_ids) i), fed = fed + cardinality(wanted),
      skipped = skipped + (select count(distinct i) from unnest(p_photo_ids) i) - cardinality(wanted)
  where id = p_id;
  return query select p.* from photos p where p.id = any (wanted) order by p.id;
end $$;

-- As feed_backfill, of the photos p_photo_ids and of those of objects, which it makes known as photos_of_objects does, in one
-- transaction: of a run that was stopped, rests, or was fed by another feeder meanwhile nothing is known that waits for nobody.
-- Arrays: one element an object; objects may be of several buckets.
-- Locks: the backfill, but its key; then as photos_of_objects, by bucket. Where something is told of an object, what is filled in is held while
-- other photos are waited for, so these are locked before, in the order of their ids, as whoever commits verdicts does; and the objects before
-- them, as whoever takes events does.
create or replace function feed_page(
  p_id bigint, p_from jsonb, p_cursor jsonb, p_read_all boolean, p_unreadable bigint, p_photo_ids bigint[],
  p_store text[], p_bucket text[], p_key text[], p_version text[], p_listing text[], p_uploader text[], p_claimed text[]
) returns setof photos language plpgsql as $$
declare
  ids bigint[] := p_photo_ids;
  buckets cursor for
    select i.store, i.bucket, array_agg(i.key order by i.n) as keys, array_agg(i.version order by i.n) as versions,
      array_agg(i.listing order by i.n) as listings, array_agg(i.uploader order by i.n) as uploaders, array_agg(i.claimed order by i.n) as claims
    from unnest(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed)
      with ordinality as i (store, bucket, key, version, listing, uploader, claimed, n)
    group by i.store, i.bucket order by i.store, i.bucket;
  nothing text[];
begin
  perform 1 from backfills where id = p_id for no key update;
  if exists (select from unnest(p_listing || p_uploader || p_claimed) as told where told is not null) then
    for b in buckets loop
      nothing := array_fill(null::text, array[cardinality(b.keys)]);
      perform photos_of_objects(b.store, b.bucket, b.keys, b.versions, nothing, nothing, nothing);
    end loop;
    -- "offset 0" as in photos_of_objects
    perform 1 from photos p
    where p.id in (
      select k.id from unnest(p_store, p_bucket, p_key) as i (store, bucket, key) cross join lateral (
        select c.id from photos c
        where (c.store, c.bucket, c.key) = (i.store, i.bucket, i.key) and c.superseded_at is null offset 0) k)
    order by p.id for no key update;
  end if;
  for b in buckets loop
    ids := ids || array(select photos_of_objects(b.store, b.bucket, b.keys, b.versions, b.listings, b.uploaders, b.claims));
  end loop;
  return query select * from feed_backfill(p_id, p_from, p_cursor, p_read_all, ids, p_unreadable);
end $$;

-- Until when a backfill rests that feeds so many photos more: as long as they take at its rate. It makes up for less than a second
-- by which it is late, so that its rate is kept, and for nothing of a longer stop.
create or replace function rests_after(run backfills, p_photos bigint) returns timestamptz language sql as $$
  select case when run.rests_until > clock_timestamp() - interval '1 second' then run.rests_until else clock_timestamp() end
    + make_interval(secs => p_photos / run.max_rate)
$$;

-- Pauses, resumes or cancels a backfill, and writes who and why, also to audit_log, which keeps all of them. A cancelled one feeds nothing more; what is in the queue
-- for it is still judged, and is still its own, or a proposal would become a verdict.
-- MD404: there is none. MD409: it is in a state from which that cannot be.
create or replace function change_backfill(p_id bigint, p_state text, p_by text, p_why text) returns void language plpgsql as $$
declare run backfills;
begin
  select * into run from backfills where id = p_id for no key update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.ended_at is not null or run.state = p_state then
    raise exception 'backfill % is % already', p_id, run.state using errcode = 'MD409';
  end if;
  update backfills
  set state = p_state, changed_by = p_by, changed_at = now(), why = p_why,
      ended_at = case when p_state = 'cancelled' then now() end
  where id = p_id;
  if p_state = 'cancelled' then delete from backfill_retries where backfill_id = p_id; end if;
  insert into audit_log (who, did, about)
  values (p_by, 'changed-backfill', jsonb_build_object('backfill', p_id::text, 'state', p_state, 'why', p_why));
end $$;

-- Ends the backfills that were read to their end and wait for nothing more; returns them.
-- What was replaced or removed while it waited is waited for no longer. Each photo that waits is looked up by itself: of some thousands among
-- a million Postgres would rather read all photos, at each round of a feeder.
-- Waits for nobody, so that it is in no deadlock: what others hold, such as a photo whose verdict they commit, is for the next call.
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

-- Has the photos that failed in a backfill tried again, and lets a finished one run again for it. It only writes down what is
-- to be done, however many they are: feed_retries does it. p_code: only those that failed for that.
-- Returns how many they are; those that were replaced or forgotten since are among them.
-- MD404: there is no such backfill. MD409: it was cancelled, or rolled back. Locks: the backfill.
create or replace function retry_backfill(p_id bigint, p_code text, p_by text) returns bigint language plpgsql as $$
declare
  run backfills;
  failed bigint;
begin
  select * into run from backfills where id = p_id for no key update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.state = 'cancelled' or run.outcome = 'rolled back' then
    raise exception 'backfill % was %: maitred backfill start --failed tries again what failed', p_id,
      case when run.state = 'cancelled' then run.state else run.outcome end
      using errcode = 'MD409';
  end if;
  with codes as (
    select code, sum(photos) as photos from backfill_counts
    where backfill_id = p_id and code <> '' and (p_code is null or code = p_code) group by 1 having sum(photos) > 0
  ), wanted as (
    insert into backfill_retries (backfill_id, code) select p_id, code from codes
    on conflict on constraint backfill_retries_pkey do update set after = 0
  )
  select coalesce(sum(photos), 0) into failed from codes;
  if failed > 0 then
    update backfills
    set state = case when state = 'paused' then 'paused' else 'running' end, ended_at = null, changed_by = p_by, changed_at = now(),
        why = 'failed photos are tried again'
    where id = p_id;
  end if;
  insert into audit_log (who, did, about)
  values (p_by, 'retried-backfill', jsonb_strip_nulls(jsonb_build_object('backfill', p_id::text, 'code', p_code, 'photos', failed)));
  return failed;
end $$;

-- Feeds a page of what is to be tried again: takes at most p_limit failures out of the counts, waits for their photos once
-- more, and returns those to queue. Of a photo that was replaced meanwhile nobody will hear, so there may be none.
-- MD412: the backfill is not running, or rests because of its rate. Locks: the backfill but its key, then as record_verdicts
-- the photos in the order of their ids, and the counts in theirs.
create or replace function feed_retries(p_id bigint, p_limit integer) returns setof photos language plpgsql as $$
declare
  run backfills;
  retry backfill_retries;
  ids bigint[];
  queued bigint;
begin
  select * into run from backfills where id = p_id and state = 'running' for no key update;
  if not found or run.rests_until > clock_timestamp() then
    raise exception 'backfill % is not running, or rests', p_id using errcode = 'MD412';
  end if;
  select * into retry from backfill_retries r where r.backfill_id = p_id order by r.code limit 1;
  if not found then return; end if;
  ids := array(
    select c.photo_id from backfill_changes c
    where c.backfill_id = p_id and c.code = retry.code and c.photo_id > retry.after order by c.photo_id limit p_limit);
  perform 1 from photos p where p.id = any (ids) order by p.id for key share;
  perform 1 from backfill_counts c where c.backfill_id = p_id and c.code = retry.code
  order by c.before, c.before_category, c.after, c.after_category for update;
  return query
  with again as (
    delete from backfill_changes c
    where c.backfill_id = p_id and c.code = retry.code and c.photo_id = any (ids) returning c.*
  ), withdrawn as (
    -- or it would be applied though the photo was judged meanwhile
    delete from proposals s using again a where (s.backfill_id, s.photo_id) = (p_id, a.photo_id)
  ), uncounted as (
    update backfill_counts c set photos = c.photos - a.photos
    from (
      select before, coalesce(before_category, '') as before_category, after, coalesce(after_category, '') as after_category,
        count(*) as photos
      from again group by 1, 2, 3, 4
    ) a
    where c.backfill_id = p_id and (c.before, c.before_category, c.after, c.after_category, c.code)
      = (a.before, a.before_category, a.after, a.after_category, retry.code)
  ), waiting as (
    insert into backfill_photos (photo_id, backfill_id)
    select a.photo_id, p_id from again a join photos p on p.id = a.photo_id where p.superseded_at is null
    on conflict do nothing
  )
  select p.* from photos p join again a on a.photo_id = p.id where p.superseded_at is null order by p.id;
  get diagnostics queued = row_count;
  update backfills set rests_until = rests_after(run, queued) where id = p_id;
  if cardinality(ids) < p_limit then
    delete from backfill_retries r where (r.backfill_id, r.code) = (p_id, retry.code);
  else
    update backfill_retries r set after = ids[p_limit] where (r.backfill_id, r.code) = (p_id, retry.code);
  end if;
end $$;
