-- Up Migration

-- As feed_backfill, of the photos p_photo_ids and of those of objects, which it makes known as photos_of_objects does, in one
-- transaction: of a run that was stopped, rests, or was fed by another feeder meanwhile nothing is known that waits for nobody.
-- Arrays: one element an object; objects may be of several buckets.
-- Locks: the backfill, but its key; then as photos_of_objects, by bucket. Where something is told of an object, what is filled in is held while
-- other photos are waited for, so these are locked before, in the order of their ids, as whoever commits verdicts does; and the objects before
-- them, as whoever takes events does.
create function feed_page(
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
    insert into unqueued (photo_id) select distinct k.id from known k where k.state in ('pending', 'failed') order by 1 on conflict do nothing
  )
  select k.id, k.state, k.version, k.fresh from known k order by k.n
$$;

-- As in 0001_roles.sql, with the functions above.
create or replace function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  if to_regrole('maitred_worker') is not null then
    -- which model is active they read; who makes one active is of maitred_migrator
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
            'hour_of', 'day_of', 'bucket_of', 'context_of_review', 'complete_review', 'count_changed_photos', 'count_photo',
            'scores_of', 'count_scores', 'uncount_scores', 'count_review', 'count_none', 'fold_rollups', 'differing_hours', 'differing_listings',
            'differing_scores', 'differing_reviews', 'differing_days', 'check_rollups', 'mend_rollups',
            'record_review', 'review_rule', 'audit_rank', 'photos_to_review', 'claim_reviews', 'photo_before', 'decide_reviews', 'undo_review',
            'open_appeal', 'photos_by_key', 'photo_id_at', 'name_person', 'start_session', 'end_session', 'feed_page', 'take_in')
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
