-- Gives the three roles what they need, as far as they exist. maitred migrate calls it each time, so that roles made later get
-- theirs. p_queue_schema: where the queue's tables are, if they are in this database.
-- The owner is given only to what has another: to say who owns a table, also where that changes nothing, waits for all who read it and
-- for its autovacuum, and everybody else waits behind that, at each maitred migrate.
-- PUBLIC, who on Postgres 14 may create in the schema public, may no more where whoever migrates owns it: triggers and functions that run with
-- their owner's rights find operators there, also one that a dashboard's login has made. maitred doctor says where PUBLIC still may.
-- New functions and tables have to be named here.
create or replace function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  if to_regrole('maitred_worker') is not null then
    -- which model is active they read; who makes one active is of maitred_migrator
    grant select on pgmigrations, functions, lineage, models, promotions, tokens, rollups, rollup_hours, rollup_days, rollup_listings, rollup_scores, rollup_reviews,
      rollup_hours_changes, rollup_listings_changes, rollup_scores_changes, rollup_reviews_changes to maitred_worker;
    grant select on public_photos, current_photos, photo_tags, failed_photos, hourly_counts, daily_counts, listing_counts, score_counts, review_counts,
      verdict_history to maitred_worker;
    grant select, insert on verdicts, policies, audit_log, desk_people to maitred_worker;
    grant select, insert, update on shadow_scores, backfills, feeding, sweeps, appeals, review_decisions, review_passes, decoders to maitred_worker;
    -- deleting photos is for MAITRED_REMOVED=erase; forgetting is of maitred_migrator, who owns the tables
    grant select, insert, update, delete on photos, tags, model_workers, object_order, unqueued, idempotent_answers, bad_messages, backfill_photos,
      backfill_counts, backfill_changes, backfill_retries, proposals, desk_sessions, review_claims to maitred_worker;
    -- what a moderator takes back is deleted
    grant select, insert, delete on reviews to maitred_worker;
    -- workers deliver; who is told, and with which secret, an administrator says
    grant select, update (enabled, changed_at, note) on destinations to maitred_worker;
    grant select, update, delete on outbox, deliveries to maitred_worker;
    grant execute on function fold_rollups(integer), notice_lineage() to maitred_worker;
    if to_regnamespace(p_queue_schema) is not null then
      execute format('grant usage on schema %I to maitred_worker', p_queue_schema);
      execute format('grant all on all tables in schema %I to maitred_worker', p_queue_schema);
      execute format('grant all on all sequences in schema %I to maitred_worker', p_queue_schema);
    end if;
  end if;
  if to_regrole('maitred_dashboard') is not null then
    grant select on public_photos, current_photos, photo_tags, failed_photos, hourly_counts, daily_counts, listing_counts, score_counts, review_counts,
      verdict_history, backfills, backfill_counts to maitred_dashboard;
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
            'desk_sessions', 'desk_people', 'audit_log', 'appeals', 'review_claims', 'review_decisions', 'review_passes', 'decoders', 'lineage', 'functions',
            'public_photos', 'current_photos', 'photo_tags', 'failed_photos', 'hourly_counts', 'daily_counts', 'listing_counts', 'score_counts', 'review_counts',
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
            'open_appeal', 'photos_by_key', 'photo_id_at', 'name_person', 'start_session', 'end_session', 'feed_page', 'take_in',
            'bytes_of', 'hold_hidden', 'settles', 'commit_verdicts', 'copies_of', 'hold_copies', 'hold_copies_of', 'commit_decisions', 'take_back',
            'commit_shown_or_hidden', 'undo_decision', 'standing_passes', 'look_at_upload', 'forget_other_bytes',
            'skip_numbers', 'notice_lineage')
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
