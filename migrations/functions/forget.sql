-- Erases what is known of objects, in one transaction: p_objects is a JSON array of {store, bucket, key, spellings}, where
-- the spellings are how messages of queues may write the key. What the outbox tells of the photos goes with them, and that
-- they are forgotten is told instead, which names them until it is delivered: see write_forgotten. A run over one of these objects
-- alone, which has its key for a prefix, does not keep it once it has ended.
-- Returns a row a table with how many rows went, also where none did, and at last one 'photo ID' for each photo, whose
-- jobs the caller takes out of the queue. What it did is written to erasures and to audit_log, without saying of which object.
-- A verdict in flight finds no row afterwards and changes nothing. An event that comes later makes the object known again.
-- Locks: the objects as record_events does, then their photos.
-- A message is searched for an object's spellings, some hundred, only where it has all parts of its key that every spelling leaves as they are: beside
-- 50,000 messages to forget an object took six seconds. Compiling it would take some 10 ms of a core each time.
create or replace function forget_objects(p_objects jsonb, p_by text) returns table (what text, count bigint) language plpgsql set jit = off as $$
declare
  ids bigint[];
  gone bigint;
  counts jsonb := '{}';
  made bigint;
begin
  -- also of objects that nobody was told of yet: who is told of them meanwhile waits, and makes them known again
  with new as (
    insert into object_order as o (store, bucket, key)
    select distinct i.store, i.bucket, i.key
    from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text) order by 1, 2, 3
    on conflict (store, bucket, key, version) do update set latest = o.latest where false returning 1
  )
  select count(*) into made from new;
  perform 1 from object_order o
  where (o.store, o.bucket, o.key) in (
    select i.store, i.bucket, i.key from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text))
  order by o.store, o.bucket, o.key, o.version for update;
  select coalesce(array_agg(locked.id), '{}') into ids from (
    select p.id from photos p
    where (p.store, p.bucket, p.key) in (
      select i.store, i.bucket, i.key from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text))
    order by p.id for update) locked;

  -- one block a table: what it deletes, and its name among the counts
  delete from reviews r where r.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('reviews', gone);

  delete from verdicts v where v.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('verdicts', gone);

  delete from tags t where t.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('tags', gone);

  delete from shadow_scores s where s.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('shadow_scores', gone);

  delete from appeals a where a.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('appeals', gone);

  delete from review_decisions d where d.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('review_decisions', gone);

  delete from review_claims c where c.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('review_claims', gone);

  delete from review_passes s where s.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('review_passes', gone);

  delete from unqueued u where u.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('unqueued', gone);

  delete from backfill_photos b where b.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfill_photos', gone);

  delete from backfill_changes b where b.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfill_changes', gone);

  delete from proposals s where s.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('proposals', gone);

  -- these go by the trigger of photos, which knows who is being told something at this moment
  select count(*) into gone from outbox o where o.photo_id = any (ids) and o.kind <> 'photo.forgotten';
  counts := counts || jsonb_build_object('outbox', gone);
  select count(*) into gone from deliveries d join outbox o using (seq)
  where o.photo_id = any (ids) and o.kind <> 'photo.forgotten';
  counts := counts || jsonb_build_object('deliveries', gone);

  -- a message that nobody understood may be JSON, or JSON within JSON
  with objects as materialized (
    select i.bucket, i.spellings, array(
      select '%' || m[1] || '%' from regexp_matches(i.key, '[A-Za-z0-9.-]+', 'g') m order by length(m[1]) desc) as parts
    from jsonb_to_recordset(p_objects) as i (bucket text, key text, spellings jsonb)
  )
  delete from bad_messages m using (select id, body || '' as body from bad_messages offset 0) b
  where m.id = b.id and exists (
    select from objects i
    where case when b.body like all (i.parts) and strpos(b.body, i.bucket) > 0 then exists (
      select from jsonb_array_elements_text(i.spellings) w (key)
      where strpos(b.body, '"' || w.key || '"') > 0 or strpos(b.body, '"' || w.key || '\"') > 0
        or strpos(b.body, '"' || i.bucket || '/' || w.key || '"') > 0) end);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('bad_messages', gone);

  -- an answer tells of one photo, or of a list of them
  delete from idempotent_answers a
  where cardinality(ids) > 0 and exists (
      select from jsonb_path_query(a.answer, 'lax $.**.id') i (id) where i.id #>> '{}' = any (ids::text[]));
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('idempotent_answers', gone);

  -- a backfill or a sweep that stands at this very key begins anew; one that was of it alone, and has ended, does not name it any more
  update backfills b
  set cursor = null,
      what = case when b.ended_at is not null and b.what ->> 'prefix' = i.key then b.what || '{"prefix": "(forgotten)"}' else b.what end
  from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text)
  where i.store = 's3' and b.what ->> 'bucket' = i.bucket
    and (b.cursor ->> 'after' = i.key or b.ended_at is not null and b.what ->> 'prefix' = i.key);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfills', gone);

  update sweeps s set cursor = '', prefix = case when s.state <> 'running' and s.prefix = i.key then '(forgotten)' else s.prefix end
  from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text)
  where i.store = 's3' and s.bucket = i.bucket and (s.cursor = i.key or s.state <> 'running' and s.prefix = i.key);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('sweeps', gone);

  delete from object_order o
  where (o.store, o.bucket, o.key) in (
    select i.store, i.bucket, i.key from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text));
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('object_order', gone - made);

  delete from photos p where p.id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('photos', gone);

  if exists (select from jsonb_each_text(counts) c where c.value <> '0') then
    insert into erasures (by, counts) values (p_by, counts);
    insert into audit_log (who, did, about) values (p_by, 'forgot', jsonb_build_object('counts', counts));
  end if;
  return query
    select c.key, c.value::bigint from jsonb_each_text(counts) c
    union all select 'photo ' || i.id, 1::bigint from unnest(ids) i (id);
end $$;
