-- Up Migration

-- What a moderator decides is remembered of the bytes, too, from now on, so that those that one hid are not shown as another photo
-- before a moderator has seen them there.
alter table reviews add column digest bytea;
comment on column reviews.digest is 'SHA-256 of the bytes that a model had judged as this photo; null where nobody knows';
create index reviews_digest on reviews (digest, verdict_id) where digest is not null;

-- SHA-256 of the bytes that a model judged last as this photo; where the version says which bytes it has, the last that are known,
-- and those of the original rather than of a rendition. Null where nobody knows. A verdict that took the scores of another photo
-- over says of which.
create function bytes_of(p_photo_id bigint) returns bytea stable language sql as $$
  select d.digest
  from photos p join verdicts v on v.photo_id = p.id
  cross join lateral (
    select coalesce(v.digest, (
      select o.digest from verdicts o
      where v.batch like 'same-%' and o.photo_id = substr(v.batch, 6)::bigint and o.digest is not null
        and o.decided_by = v.decided_by and (o.scores, o.human) is not distinct from (v.scores, v.human)
      order by o.id desc limit 1)) as digest
  ) d
  where p.id = p_photo_id and v.decided_by like 'model:%' and v.scores is not null
    -- nobody read the photo for what was decided from stored scores, or brought back
    and v.batch is not null and v.batch not like 'policy-%' and v.batch not like 'rollback-%'
    and (d.digest is not null or p.version = '')
    and (p.version <> '' or p.revived_at is null or v.decided_at >= p.revived_at)
  order by p.version <> '' and v.rendition is true, v.id desc limit 1
$$;

create or replace function complete_review() returns trigger language plpgsql as $$
begin
  select c.* into new.moderator, new.at, new.verdict, new.model, new.model_verdict, new.model_rule, new.model_category
  from context_of_review(new.verdict_id, new.photo_id) c;
  new.digest := bytes_of(new.photo_id);
  return new;
end $$;

-- Items of record_verdicts, of which those ask for a moderator that would show bytes of which the last moderator to see them
-- said hidden. The digest is theirs; that of the scores which they took over (copyOf; what was proposed before there was that says
-- of which photo they are); or, where stored scores are decided anew, that of the photo. It is kept with the verdict, whatever
-- becomes of the photo that the scores are of.
create function hold_hidden(p_items jsonb) returns jsonb stable language sql as $$
  select coalesce(jsonb_agg(case when r.verdict = 'hidden' then item || jsonb_build_object(
    'verdict', 'review', 'rule', 'hidden-copy', 'reason', r.moderator || ' hid the same bytes: photo ' || r.photo_id,
    'digest', case when (item ->> 'stored')::boolean then item -> 'digest' else to_jsonb('\x' || encode(r.digest, 'hex')) end)
    else item end order by n), '[]')
  from jsonb_array_elements(p_items) with ordinality as e (item, n)
  left join lateral (
    select r.verdict, r.moderator, r.photo_id, r.digest from reviews r
    where item ->> 'verdict' = 'shown' and r.digest = coalesce((item ->> 'digest')::bytea, (item ->> 'copyOf')::bytea,
      case when item ->> 'batch' like 'same-%' then (
        select o.digest from verdicts o
        where o.photo_id = substr(item ->> 'batch', 6)::bigint and o.digest is not null and o.decided_by = item ->> 'by'
        order by o.id desc limit 1)
      when (item ->> 'stored')::boolean then bytes_of((item ->> 'id')::bigint) end)
    order by r.verdict_id desc limit 1) r on true
$$;

-- As record_verdicts was, of which it is what is left to do once copies are held.
alter function record_verdicts(jsonb) rename to commit_verdicts;
comment on column verdicts.digest is 'SHA-256 of the bytes that were judged; null where the scores are those of another photo, but for one that was held as a copy';

-- `held` says why, where a photo is held in place of being shown.
create function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean, held text) language plpgsql as $$
declare items jsonb;
begin
  -- so that what a moderator hides of them meanwhile is seen
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;
  items := hold_hidden(p_items);
  return query
  select c.photo_id, c.changed, case when c.changed and i.rule = 'hidden-copy' then i.reason end
  from commit_verdicts(items) c join (
    -- of one that is there twice, the one that counts
    select distinct on (r.id) r.* from jsonb_to_recordset(items) as r (id bigint, rule text, reason text, fed boolean, rendition boolean)
    order by r.id, r.fed is true, r.rendition is true
  ) i on i.id = c.photo_id;
end $$;

comment on column hourly_counts.rule is 'Why: hidden-copy, human, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';
comment on column daily_counts.rule is 'Why: hidden-copy, human, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';
comment on column review_counts.model_rule is 'Why the model gave it: hidden-copy, human, human-uncertain, verify, category-uncertain, scores-invalid, clear, failed';

-- As in 0021_known_and_queued.sql, with what is above.
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
            'open_appeal', 'photos_by_key', 'photo_id_at', 'name_person', 'start_session', 'end_session', 'feed_page', 'take_in',
            'bytes_of', 'hold_hidden', 'commit_verdicts')
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
