-- What is known of objects of a bucket, in no order. state: text that is another one as soon as an event, a sweep or
-- maitred enqueue changed which photo of the object is current, or told anything of the object as a whole.
-- seen: something was ever known of it.
create or replace function object_states(p_bucket text, p_keys text[])
returns table (key text, state text, seen boolean) stable language sql as $$
  -- a look into each index for each key: whatever the planner knows of the tables, it may not read all of one
  select k.key, concat_ws('|', coalesce(o.latest, ''), coalesce(o.removed, false), coalesce(p.current, '')),
    o.latest is not null or coalesce(o.removed, false) or p.any_photo
  from unnest(p_keys) k (key)
  left join lateral (
    select latest, removed from object_order
    where (store, bucket, object_order.key, version) = ('s3', p_bucket, k.key, '') limit 1
  ) o on true
  cross join lateral (
    select string_agg(id::text, ',' order by id) filter (where superseded_at is null) as current, count(*) > 0 as any_photo
    from photos where (store, bucket, photos.key) = ('s3', p_bucket, k.key)
  ) p
$$;

-- Commits one step of a sweep: its counts, how far it is, and what was found, as events without an order.
-- p_items: a JSON array of {kind, key, version, state}, each key once; state as object_states gave it before the store was
-- asked. p_counts: {listed, known, young, unclear, seconds} to add.
-- Returns an outcome an item, in order: as of record_events, or changed where something else was told of the object
-- meanwhile, of which nothing is done. What is accepted is of p_lane. Photos to queue are in unqueued, as with events.
-- MD409: the sweep is not at p_from any more: somebody else went on with it, or began anew.
-- Locks: the sweep, then as record_events.
create or replace function sweep_step(
  p_sweep bigint, p_from text, p_to text, p_counts jsonb, p_items jsonb, p_pad text, p_erase boolean, p_lane text
) returns table (photo_id bigint, outcome text, queue boolean) language plpgsql as $$
declare
  of_bucket text;
  still jsonb;
  answers jsonb;
  found_missed bigint;
  found_gone bigint;
  found_known bigint;
begin
  update sweeps s set cursor = p_to, updated_at = now(),
    listed = listed + (p_counts ->> 'listed')::bigint, known = known + (p_counts ->> 'known')::bigint,
    young = young + (p_counts ->> 'young')::bigint, unclear = unclear + (p_counts ->> 'unclear')::bigint,
    seconds = seconds + (p_counts ->> 'seconds')::real
  where s.id = p_sweep and s.state = 'running' and s.cursor = p_from
  returning s.bucket into of_bucket;
  if not found then
    raise exception 'the sweep is not where it was: somebody else went on with it, or began anew' using errcode = 'MD409';
  end if;
  if p_items = '[]' then
    return;
  end if;

  -- from here on, whoever tells of one of these objects waits
  insert into object_order as o (store, bucket, key)
  select 's3', of_bucket, i.key from jsonb_to_recordset(p_items) as i (key text) order by 1, 2, 3
  on conflict (store, bucket, key, version) do update set latest = o.latest where false;

  select coalesce(jsonb_agg(jsonb_build_object('kind', i.kind, 'store', 's3', 'bucket', of_bucket, 'key', i.key,
    'version', i.version, 'n', i.n) order by i.n), '[]')
  into still
  from rows from (jsonb_to_recordset(p_items) as (kind text, key text, version text, state text))
    with ordinality as i (kind, key, version, state, n)
  join object_states(of_bucket, (select array_agg(k.key) from jsonb_to_recordset(p_items) as k (key text))) s
    on s.key = i.key and s.state = i.state;

  select coalesce(jsonb_agg(jsonb_build_object('n', e.value -> 'n', 'kind', e.value -> 'kind', 'photo_id', t.photo_id,
    'outcome', t.outcome, 'queue', t.queue)), '[]')
  into answers
  from record_events(still, p_pad, p_erase) with ordinality as t (photo_id, outcome, queue, n)
  join jsonb_array_elements(still) with ordinality as e (value, n) on e.n = t.n;
  -- statements of their own, which see what that one wrote
  update photos p set lane = p_lane from jsonb_to_recordset(answers) as a (photo_id bigint, outcome text)
  where p.id = a.photo_id and a.outcome = 'accepted' and p.lane <> p_lane and p.state = 'pending';
  select count(*) filter (where a.outcome = 'accepted'), count(*) filter (where a.outcome = 'removed'),
    count(*) filter (where a.outcome = 'known')
  into found_missed, found_gone, found_known from jsonb_to_recordset(answers) as a (outcome text);
  update sweeps s set missed = missed + found_missed, gone = gone + found_gone, known = known + found_known,
    unclear = unclear + jsonb_array_length(p_items) - found_missed - found_gone - found_known
  where s.id = p_sweep;
  return query
  select a.photo_id, coalesce(a.outcome, 'changed'), coalesce(a.queue, false)
  from generate_series(1, jsonb_array_length(p_items)) i (n)
  left join jsonb_to_recordset(answers) as a (n bigint, photo_id bigint, outcome text, queue boolean) on a.n = i.n
  order by i.n;
end $$;
