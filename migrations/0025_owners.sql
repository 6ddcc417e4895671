-- Up Migration

-- What grant_roles and the nine before it gave, in one, but that the owner is given only to what has another: to say who owns a table, also where
-- that changes nothing, waits for all who read it and for its autovacuum, and everybody else waits behind that, at each maitred migrate.
-- And PUBLIC, who on Postgres 14 may create in the schema public, may no more where whoever migrates owns it: triggers and functions that run with
-- their owner's rights find operators there, also one that a dashboard's login has made. maitred doctor says where PUBLIC still may.
-- New functions and tables have to be named here, by a function that replaces this one.
create or replace function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  if to_regrole('maitred_worker') is not null then
    grant select on pgmigrations, models, promotions, tokens, rollups, rollup_hours, rollup_days, rollup_listings, rollup_scores, rollup_reviews,
      rollup_hours_changes, rollup_listings_changes, rollup_scores_changes, rollup_reviews_changes to maitred_worker;
    grant select on public_photos, photo_tags, failed_photos, hourly_counts, daily_counts, listing_counts, score_counts, review_counts, verdict_history
      to maitred_worker;
    grant select, insert on verdicts, policies, audit_log, desk_people to maitred_worker;
    grant select, insert, update on shadow_scores, backfills, feeding, sweeps, appeals, review_decisions to maitred_worker;
    -- deleting photos is for MAITRED_REMOVED=erase; forgetting is of maitred_migrator, who owns the tables
    grant select, insert, update, delete on photos, tags, model_workers, object_order, unqueued, idempotent_answers, bad_messages, backfill_photos,
      backfill_counts, backfill_changes, backfill_retries, proposals, desk_sessions, review_claims to maitred_worker;
    -- what a moderator takes back is deleted
    grant select, insert, delete on reviews to maitred_worker;
    -- workers deliver; who is told, and with which secret, an administrator says
    grant select, update (enabled, changed_at, note) on destinations to maitred_worker;
    grant select, update, delete on outbox, deliveries to maitred_worker;
    grant execute on function fold_rollups(integer) to maitred_worker;
    if to_regnamespace(p_queue_schema) is not null then
      execute format('grant usage on schema %I to maitred_worker', p_queue_schema);
      execute format('grant all on all tables in schema %I to maitred_worker', p_queue_schema);
      execute format('grant all on all sequences in schema %I to maitred_worker', p_queue_schema);
    end if;
  end if;
  if to_regrole('maitred_dashboard') is not null then
    grant select on public_photos, photo_tags, failed_photos, hourly_counts, daily_counts, listing_counts, score_counts, review_counts, verdict_history,
      backfills, backfill_counts to maitred_dashboard;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      grant create, usage on schema public to maitred_migrator;
      for thing in
        -- of a view and a sequence, too
        select 'table ' || oid::regclass from pg_class
        where relnamespace = 'public'::regnamespace and relowner <> 'maitred_migrator'::regrole
          and relname in ('photos', 'tags', 'verdicts', 'pgmigrations', 'models', 'promotions', 'model_workers', 'shadow_scores', 'reviews',
            'object_order', 'unqueued', 'tokens', 'idempotent_answers', 'bad_messages', 'destinations', 'outbox', 'outbox_seq', 'deliveries',
            'backfills', 'feeding', 'backfill_photos', 'backfill_counts', 'backfill_changes', 'backfill_retries', 'proposals', 'policies',
            'sweeps', 'erasures', 'rollups', 'rollup_hours', 'rollup_days', 'rollup_listings', 'rollup_scores', 'rollup_reviews',
            'rollup_hours_changes', 'rollup_listings_changes', 'rollup_scores_changes', 'rollup_reviews_changes',
            'desk_sessions', 'desk_people', 'audit_log', 'appeals', 'review_claims', 'review_decisions',
            'public_photos', 'photo_tags', 'failed_photos', 'hourly_counts', 'daily_counts', 'listing_counts', 'score_counts', 'review_counts',
            'verdict_history')
        union all select 'function ' || oid::regprocedure from pg_proc
        where pronamespace = 'public'::regnamespace and proowner <> 'maitred_migrator'::regrole
          and proname in ('grant_roles', 'refuse_change', 'register_photos', 'record_verdicts', 'forget_bytes',
            'notify_models', 'register_model', 'promote_model', 'rollback_model', 'shadow_model', 'report_worker', 'record_shadow_scores',
            'order_key', 'has_no_id', 'record_events', 'withdraw_photos', 'mark_queued', 'object_states', 'sweep_step', 'forget_objects',
            'tell', 'tell_again', 'write_outbox', 'write_forgotten', 'claim_deliveries', 'settle_delivery', 'purge_deliveries', 'remove_destination',
            'photos_of_objects', 'rests_after', 'feed_backfill', 'change_backfill', 'note_outcome', 'retry_backfill', 'feed_retries', 'end_backfills',
            'decide_anew', 'backfill_that_is_over', 'apply_proposals', 'discard_proposals', 'taken_back', 'restore_before_backfill', 'rollback_backfill',
            'hour_of', 'day_of', 'bucket_of', 'context_of_review', 'complete_review', 'complete_reviews', 'count_changed_photos', 'count_photo',
            'scores_of', 'count_scores', 'uncount_scores', 'count_review', 'count_none', 'fold_rollups', 'differing_hours', 'differing_listings',
            'differing_scores', 'differing_reviews', 'differing_days', 'check_rollups', 'mend_rollups',
            'record_review', 'review_rule', 'audit_rank', 'photos_to_review', 'claim_reviews', 'photo_before', 'decide_reviews', 'undo_review',
            'open_appeal', 'photos_by_key', 'photo_id_at', 'name_person', 'start_session', 'end_session')
      loop
        execute format('alter %s owner to maitred_migrator', thing);
      end loop;
    exception
      when insufficient_privilege then
        raise notice 'the tables stay with %: only an administrator may give them to maitred_migrator', current_user;
    end;
    begin
      -- the queue's, too, or its members could neither migrate it nor take out of it what is forgotten
      for thing in
        select format('schema %I', nspname) from pg_namespace
        where nspname = p_queue_schema and nspowner <> 'maitred_migrator'::regrole
        union all select 'table ' || c.oid::regclass from pg_class c
        where relnamespace = to_regnamespace(p_queue_schema) and relkind in ('r', 'S') and relowner <> 'maitred_migrator'::regrole
          -- that of a column goes with its table
          and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i') and relkind = 'S')
        union all select 'routine ' || oid::regprocedure from pg_proc
        where pronamespace = to_regnamespace(p_queue_schema) and proowner <> 'maitred_migrator'::regrole
        union all select 'type ' || oid::regtype from pg_type
        where typnamespace = to_regnamespace(p_queue_schema) and typtype = 'e' and typowner <> 'maitred_migrator'::regrole
      loop
        execute format('alter %s owner to maitred_migrator', thing);
      end loop;
    exception
      when insufficient_privilege then
        raise notice 'the queue stays with %: only an administrator may give it to maitred_migrator', current_user;
    end;
  end if;
  if has_schema_privilege('public', 'public', 'create') then
    -- says so in a warning, and changes nothing, where it may not
    revoke create on schema public from public;
  end if;
end $$;
drop function grant_roles_before_bytes(text), grant_roles_before_desk(text), grant_roles_before_rollups(text), grant_roles_before_sweeps(text),
  grant_roles_before_backfills(text), grant_roles_before_outbox(text), grant_roles_before_bad_messages(text), grant_roles_before_events(text),
  grant_roles_before_reviews(text);

-- As before (migrations/0012_desk.sql), but that a run over this one object, which has its key for a prefix, does not keep it once it has ended.
create or replace function forget_objects(p_objects jsonb, p_by text) returns table (what text, count bigint) language plpgsql as $$
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
  delete from bad_messages b
  where exists (
    select from jsonb_to_recordset(p_objects) as i (bucket text, spellings jsonb), jsonb_array_elements_text(i.spellings) w (key)
    where strpos(b.body, i.bucket) > 0
      and (strpos(b.body, '"' || w.key || '"') > 0 or strpos(b.body, '"' || w.key || '\"') > 0
        or strpos(b.body, '"' || i.bucket || '/' || w.key || '"') > 0));
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

comment on view score_counts is 'How the scores that models gave are distributed, day by day. Runs of maitred backfill are left out; what sweeps and maitred enqueue bring, in either lane, is not.';
