-- Up Migration

-- What a moderator hides is shown as no other photo any more, either, that a model had shown. The copies that took scores over are found by
-- the index verdicts_same, which is in src/store/indexes.ts.

-- Photos that a model shows, and that may have these bytes: at most 1,000, of the first 10,000 that a model judged of them, and of as many
-- that took scores over from these. None while an index is missing, as each look would read all verdicts.
create function copies_of(p_digest bytea) returns setof bigint stable language plpgsql as $$
begin
  if 2 > (select count(*) from pg_index i
    where i.indexrelid in (to_regclass('verdicts_digest'), to_regclass('verdicts_same')) and i.indisvalid) then
    return;
  end if;
  return query
  with judged as materialized (
    select distinct v.photo_id from (
      select v.photo_id from verdicts v
      where (('x' || encode(substr(v.digest, 1, 8), 'hex'))::bit(64)::bigint) = (('x' || encode(substr(p_digest, 1, 8), 'hex'))::bit(64)::bigint)
        and v.digest = p_digest limit 10000) v
  ), found as (
    select j.photo_id from judged j
    union
    (select c.photo_id from judged j cross join lateral (
      -- "offset 0", here and below: each by a look into the index, whatever the planner knows of the table
      select v.photo_id from verdicts v where v.batch = 'same-' || j.photo_id and v.batch like 'same-%' offset 0) c
    limit 10000)
  )
  select p.id from found f cross join lateral (
    select p.id from photos p where p.id = f.photo_id and p.state = 'shown' and p.decided_by like 'model:%' offset 0) p
  limit 1000;
end $$;

-- Of these photos, which the caller has locked, those wait for a moderator that a model shows although the last moderator who saw their bytes
-- hid them. The scores are those that they had, and are not counted again, as nobody judged the photo: such a row has no batch. It is of the
-- same backfill, so that rolling that back restores what was before. Returns the ids of those that it held.
create function hold_copies(p_ids bigint[]) returns setof bigint language plpgsql as $$
begin
  -- as in record_verdicts
  perform pg_advisory_xact_lock_shared(hashtext('maitred hidden copies'));
  return query
  with held as materialized (
    select p.id, r.moderator || ' hid the same bytes: photo ' || r.photo_id as reason, s.scores, s.backfill_id, s.rendition
    from photos p
    cross join lateral (
      select r.verdict, r.moderator, r.photo_id from reviews r
      where r.digest = bytes_of(p.id) order by r.verdict_id desc limit 1) r
    cross join lateral (
      select v.scores, v.backfill_id, v.rendition from verdicts v
      where v.photo_id = p.id and v.decided_by = p.decided_by and v.rule <> 'undo' order by v.id desc limit 1) s
    where p.id = any (p_ids) and p.state = 'shown' and p.decided_by like 'model:%' and r.verdict = 'hidden'
  ), untold as (
    -- that it is shown again, by whoever restored that in this transaction
    delete from outbox o using held h where o.photo_id = h.id and o.xmin = pg_current_xact_id()::xid
  ), state as (
    update photos p set state = 'review', rule = 'hidden-copy', reason = h.reason, decided_at = now()
    from held h where p.id = h.id returning p.*, h.scores, h.backfill_id, h.rendition
  )
  insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, backfill_id, rendition)
  select s.id, s.state, s.rule, s.reason, s.category, s.human, s.scores, s.decided_by, s.policy, s.backfill_id, s.rendition from state s order by s.id
  returning photo_id;
end $$;

-- Holds copies of these bytes, as far as the last moderator who saw them hid them; called once that is written, in its transaction. The
-- caller has locked the copies that it knew of, in the order of their ids, as everybody locks photos. What was shown since then is
-- held unless somebody else changes it: they are not waited for, as they may wait for what is locked. Who commits verdicts at this moment is
-- waited for, and whoever comes later sees what was hidden; they wait for nobody who waits here.
create function hold_copies_of(p_digests bytea[]) returns void language plpgsql as $$
begin
  if array_remove(p_digests, null) = '{}' then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtext('maitred hidden copies'));
  perform hold_copies(array(
    select p.id from photos p where p.id = any (array(
      select copies_of(d) from unnest(p_digests) d
      where 'hidden' = (select r.verdict from reviews r where r.digest = d order by r.verdict_id desc limit 1)))
    -- whoever only refers to it does not change it
    for no key update skip locked));
end $$;

-- As in 0023_bytes_of_reviews.sql, but that a photo of which a rendition was judged now shows the bytes of its original, too.
create or replace function hold_hidden(p_items jsonb) returns jsonb stable language sql as $$
  select coalesce(jsonb_agg(case when r.verdict = 'hidden' then item || jsonb_build_object(
    'verdict', 'review', 'rule', 'hidden-copy', 'reason', r.moderator || ' hid the same bytes: photo ' || r.photo_id,
    'digest', case when 'true' in (item ->> 'stored', item ->> 'rendition') then item -> 'digest' else to_jsonb('\x' || encode(r.digest, 'hex')) end)
    else item end order by n), '[]')
  from jsonb_array_elements(p_items) with ordinality as e (item, n)
  left join lateral (
    select r.verdict, r.moderator, r.photo_id, r.digest from reviews r
    where item ->> 'verdict' = 'shown' and r.digest = any (array[
      coalesce((item ->> 'digest')::bytea, (item ->> 'copyOf')::bytea,
        case when item ->> 'batch' like 'same-%' then (
          select o.digest from verdicts o
          where o.photo_id = substr(item ->> 'batch', 6)::bigint and o.digest is not null and o.decided_by = item ->> 'by'
          order by o.id desc limit 1)
        when (item ->> 'stored')::boolean then bytes_of((item ->> 'id')::bigint) end),
      case when (item ->> 'rendition')::boolean then bytes_of((item ->> 'id')::bigint) end])
    order by r.verdict_id desc limit 1) r on true
$$;

-- As in 0023_bytes_of_reviews.sql, but that it takes turns with whoever hides, and holds also what was shown already and is judged anew in
-- the same way, which commit_verdicts takes for no change.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean, held text) language plpgsql as $$
declare
  items jsonb;
  committed bigint[];
  altered bigint[];
begin
  -- so that what a moderator hides of them meanwhile is seen
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;
  -- or waits until this is committed: see hold_copies_of
  perform pg_advisory_xact_lock_shared(hashtext('maitred hidden copies'));
  items := hold_hidden(p_items);
  select array_agg(c.photo_id), array_agg(c.photo_id) filter (where c.changed) into committed, altered from commit_verdicts(items) c;
  altered := altered || array(
    select hold_copies(array(select r.id from jsonb_to_recordset(items) as r (id bigint, rule text) where r.rule = 'hidden-copy')));
  return query
  select i.id, i.id = any (altered), case when i.id = any (altered) and i.rule = 'hidden-copy' then i.reason end from (
    -- of one that is there twice, the one that counts
    select distinct on (r.id) r.* from jsonb_to_recordset(items) as r (id bigint, rule text, reason text, fed boolean, rendition boolean)
    order by r.id, r.fed is true, r.rendition is true
  ) i where i.id = any (committed);
end $$;

-- As they were, of which these are what is left to do once copies are locked.
alter function decide_reviews(text, jsonb) rename to commit_decisions;
alter function undo_review(text, uuid, double precision, text) rename to take_back;

-- Outcomes as of commit_decisions, and changed also where the photo was held since asOf, as another moderator hid its bytes, and would
-- be shown by who did not know.
-- Locks: the photos and copies of those that are to be hidden, in the order of their ids; then as commit_decisions.
create function decide_reviews(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  digests bytea[] := array(
    select distinct bytes_of(i.photo) from jsonb_to_recordset(p_items) as i (photo bigint, verdict text) where i.verdict = 'hidden');
  item jsonb;
begin
  perform 1 from photos p
  where p.id = any (array(
    select i.photo from jsonb_to_recordset(p_items) as i (photo bigint) union select copies_of(d) from unnest(digests) d))
  order by p.id for update;
  perform 1 from review_claims c
  where c.photo_id in (select i.photo from jsonb_to_recordset(p_items) as i (photo bigint)) order by c.photo_id for update;
  for item in select e.item from jsonb_array_elements(p_items) with ordinality as e (item, n) order by n loop
    select p.id, r.moderator, p.state, v.id into photo_id, other, state, as_of
    from photos p
    cross join lateral (select max(v.id) as id, max(v.id) filter (where v.rule = 'hidden-copy') as held from verdicts v where v.photo_id = p.id) v
    cross join lateral (
      select r.verdict, r.moderator from reviews r where r.digest = bytes_of(p.id) order by r.verdict_id desc limit 1) r
    where p.id = (item ->> 'photo')::bigint and item ->> 'verdict' = 'shown'
      and p.state = 'review' and p.superseded_at is null and v.held > (item ->> 'asOf')::bigint
      and r.verdict = 'hidden' and r.moderator <> p_moderator
      -- what commit_decisions says first
      and (p.version <> '' or p.revived_at is null or exists (
        select from verdicts v where v.photo_id = p.id and v.id <= (item ->> 'asOf')::bigint and v.decided_at >= p.revived_at))
      and not exists (select from review_claims c where c.photo_id = p.id and c.moderator <> p_moderator and c.until > now())
      and not exists (select from review_decisions d where d.id = (item ->> 'id')::uuid);
    if found then
      id := item ->> 'id';
      outcome := 'changed';
      return next;
    else
      return query select * from commit_decisions(p_moderator, jsonb_build_array(item));
    end if;
  end loop;
  -- those that were known by then may be others
  perform hold_copies_of(array(
    select distinct r.digest from jsonb_to_recordset(p_items) as i (id uuid) join review_decisions d on d.id = i.id
    join reviews r on r.verdict_id = d.verdict_id where r.verdict = 'hidden' and r.digest is not null));
end $$;

-- A photo that a model shows again, and copies of it, wait for a moderator where the one who saw their bytes last now hid them.
-- Those that wait because of the decision that is taken back still do. Locks: the photo and its copies, in the order of their ids; then
-- as take_back.
create function undo_review(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
returns table (photo_id bigint, outcome text, kind text) language plpgsql as $$
#variable_conflict use_column
declare
  photo bigint;
  digest bytea;
begin
  select d.photo_id, coalesce(r.digest, bytes_of(d.photo_id)) into photo, digest
  from review_decisions d left join reviews r on r.verdict_id = d.verdict_id where (d.id, d.moderator) = (p_decision, p_moderator);
  perform 1 from photos p where p.id = any (photo || array(select copies_of(digest))) order by p.id for update;
  return query select * from take_back(p_moderator, p_decision, p_lease_s, p_page);
  perform hold_copies_of(array[digest]);
  perform hold_copies(array[photo]);
end $$;

-- As in 0013_outcomes.sql, but that no copy of what a moderator hid is shown again.
create or replace function rollback_backfill(p_id bigint, p_after bigint, p_limit integer, p_by text)
returns table (last_id bigint, restored bigint, pending bigint) language plpgsql as $$
declare
  run backfills;
  ids bigint[];
begin
  run := backfill_that_is_over(p_id);
  select array_agg(photo_id order by photo_id) into ids from (
    select distinct v.photo_id from verdicts v where v.backfill_id = p_id and v.photo_id > p_after order by 1 limit p_limit) v;
  if ids is null then return; end if;
  perform 1 from photos p where p.id = any (ids) order by p.id for update;
  restored := restore_before_backfill(p_id, ids);
  perform hold_copies(ids);
  select count(*) into pending from photos p
  where p.id = any (ids) and p.state = 'pending' and p.lane = 'backfill' and p.superseded_at is null
    and not exists (select from backfill_photos w where w.photo_id = p.id)
    and not exists (select from unqueued u where u.photo_id = p.id);
  last_id := ids[cardinality(ids)];
  perform note_outcome(run, 'rolled back', 'rolled back', p_by);
  return next;
end $$;

-- As in 0015_counts.sql, but nothing of a verdict that holds a photo which was shown, either.
create or replace function scores_of(v verdicts) returns table (day date, model text, score text, bucket smallint)
stable parallel safe language sql as $$
  select day_of(v.decided_at), v.decided_by, s.score, bucket_of(s.value)
  from (values ('human', v.human), (v.category, (v.scores ->> v.category)::double precision)) s (score, value)
  where v.decided_by like 'model:%' and v.backfill_id is null and v.scores is not null
    and coalesce(v.batch, '') not like 'rollback-%' and v.rule <> 'undo'
    and (v.rule <> 'hidden-copy' or v.batch is not null) and s.score is not null and s.value is not null
$$;

-- As in 0023_bytes_of_reviews.sql, with what is above.
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
            'bytes_of', 'hold_hidden', 'commit_verdicts', 'copies_of', 'hold_copies', 'hold_copies_of', 'commit_decisions', 'take_back')
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
