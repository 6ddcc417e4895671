-- Commits a group of verdicts and failures: for p_items and what is returned see commit_verdicts. `held` says why, where a photo is held in place of
-- being shown, as a moderator hid its bytes. It takes turns with whoever hides, and holds also what was shown already and is judged anew in the
-- same way, which commit_verdicts takes for no change. A photo of a backfill waits on, and is fed again, where what was said settles nothing. A
-- failure says nothing of a model; and what a cancelled run left in the queue is its own whoever judges it, as nothing would be waited for without end.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean, held text) language plpgsql as $$
declare
  items jsonb;
  waiting_on backfill_photos[];
  committed bigint[];
  altered bigint[];
  unaltered bigint[];
begin
  -- so that what a moderator hides of them meanwhile is seen
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;
  -- or waits until this is committed: see hold_copies_of
  perform pg_advisory_xact_lock_shared(hashtext('maitred hidden copies'));
  items := hold_hidden(p_items);
  perform forget_other_bytes(items);
  -- put back below: commit_verdicts settles whatever waits for a photo
  with aside as (
    delete from backfill_photos w using backfills b, jsonb_to_recordset(items) as i (id bigint, by text, verdict text, backfill bigint)
    where w.photo_id = i.id and b.id = w.backfill_id
      and i.backfill is null and i.verdict <> 'failed' and not settles(i.by, b.model) and b.state <> 'cancelled'
    returning w
  )
  select array_agg(a.w) into waiting_on from aside a;
  select array_agg(c.photo_id), array_agg(c.photo_id) filter (where c.changed) into committed, altered from commit_verdicts(items) c;
  insert into backfill_photos select * from unnest(waiting_on) on conflict do nothing;
  -- what was proposed says so only once it is applied, and somebody read the file long before
  unaltered := array(
    select r.id from jsonb_to_recordset(items) as r (id bigint, fed boolean, backfill bigint, stored boolean, rendition boolean, transient boolean)
    where r.id = any (committed) and r.id <> all (coalesce(altered, '{}')) and r.backfill is null
      and true not in (coalesce(r.fed, false), coalesce(r.stored, false), coalesce(r.rendition, false), coalesce(r.transient, false)));
  if unaltered <> '{}' then
    update photos p set looked_at = now() where p.id = any (unaltered) and p.store = 'folder';
  end if;
  altered := altered || array(
    select hold_copies(array(select r.id from jsonb_to_recordset(items) as r (id bigint, rule text) where r.rule = 'hidden-copy')));
  return query
  select i.id, i.id = any (altered), case when i.id = any (altered) and i.rule = 'hidden-copy' then i.reason end from (
    -- of one that is there twice, the one that counts
    select distinct on (r.id) r.* from jsonb_to_recordset(items) as r (id bigint, rule text, reason text, fed boolean, rendition boolean)
    order by r.id, r.fed is true, r.rendition is true
  ) i where i.id = any (committed);
end $$;

-- What record_verdicts does once copies are held.
-- Commits a group of verdicts and failures: state, tags and history in one statement of one transaction.
-- p_items: a JSON array of {id, verdict, rule, reason, category, human, scores, tags, by, policy, batch, known,
-- failure, transient}. For verdict 'failed', failure is the code. What is in known fills in what is not known of the photo, and
-- takes the place of a listing that was inherited.
-- Returns one row a photo that exists, with changed = false where nothing was to be done:
--   the same model and policy had already decided it (a replayed job, or two workers on one photo);
--   a moderator had decided it;
--   it had already failed with this code; or a transient failure would have undone an earlier verdict.
-- A photo that no longer exists has no row. Locks: the photos, in the order of their ids, so that two groups
-- never wait for each other in a circle.
-- It settles what backfills wait for in the same transaction: whoever judged the photo, a live upload too,
-- it needs no judging any more. Items may also have
--   fed       it was queued for backfills: where only proposing ones wait for the photo it becomes a proposal instead of a verdict.
--             Where none waits for it any more it was recorded before, maybe as a proposal, and a worker that was killed, or lost
--             Postgres, could not say so: nothing changes;
--   backfill  a backfill that the verdict is of without having waited for it; nobody judged the photo, so who waits for that waits on;
--   counted   that backfill counts it now, and makes it a proposal if it proposes;
--   stored    it is from the scores of an earlier verdict, and changes nothing of a photo that this is not the verdict of any more,
--             nor where the verdict that stands has other scores;
--   digest, rendition, tries  for the columns of these names. What a model says of the photo itself replaces what it said of a
--             rendition by the same policy, and not the other way round;
--   over      of a proposal: the verdict of its model that stood when it was made. A failure that was proposed undoes no verdict
--             that the same model and policy gave since;
--   looked    the time of Postgres before its bytes were asked for, and not how old they are: a statement may be held up on its way;
--   fetched   of a proposal: when that was.
-- What the same model and policy say otherwise than they did (verdict, rule, category or score of a human) is a change where a
-- run with again waits for the photo, or proposed it and the photo was not decided since; but not where the scores were taken
-- over (the batch is 'same-ID'), nor where they are of a rendition, and what stands of the photo itself. A run that only
-- proposes makes no verdict of it, and nothing of what was not fed.
-- Where the version does not say which bytes the photo has, what was said of others is no verdict:
--   - one of the same model and policy that is another, of other bytes that were fetched after the one that stands, counts;
--   - nothing counts of bytes that were fetched before the photo was uploaded again;
--   - no proposal counts where other bytes were judged, or the photo failed, after its own were fetched.
-- Where a photo is in the group twice, what was asked for otherwise than by backfills counts, and then what read the photo itself.
create or replace function commit_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
begin
  -- a statement of its own, so that the next one sees what a rival committed while this one waited
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;

  return query
  with input as (
    select distinct on (i.id) i.*, e.item,
      -- a worker of an earlier version says how old its bytes are instead
      coalesce(i.looked, now() - make_interval(secs => i.age)) as asked_at
    from jsonb_array_elements(p_items) as e (item), jsonb_to_record(e.item) as i (
      id bigint, verdict text, rule text, reason text, category text, human real, scores jsonb, tags jsonb,
      by text, policy text, batch text, known jsonb, failure text, transient boolean, age double precision, looked timestamptz,
      fed boolean, backfill bigint, counted boolean, stored boolean, digest bytea, rendition boolean, tries smallint, over bigint, fetched timestamptz)
    order by i.id, i.fed is true, i.rendition is true
  ), waiting as (
    delete from backfill_photos b using input i where b.photo_id = i.id and i.backfill is null
    returning b.photo_id, b.backfill_id
  ), settled as materialized (
    select x.photo_id, f.id as backfill_id, f.propose, f.again, f.what ->> 'kind' = 'manifest' as listed
    from (
      select w.photo_id, w.backfill_id from waiting w
      union
      select i.id, i.backfill from input i where i.backfill is not null and i.counted
    ) x join backfills f on f.id = x.backfill_id
  ), runs as materialized (
    -- looked up by photo: the planner takes a group for one row, and would compare each with each
    select jsonb_object_agg(r.photo_id, r.runs) as by_photo
    from (select s.photo_id, jsonb_agg(s) as runs from settled s group by s.photo_id) r
  ), wanted as materialized (
    select input.*, locked.state as before, coalesce(locked.category, '') as before_category, asked.proposed, standing.id as standing,
      coalesce(input.backfill, asked.of_backfill) as of_backfill,
      case
        when locked.decided_by like 'moderator:%' then false
        when locked.version = '' and input.asked_at < locked.revived_at then false
        when input.fed and not asked.settled then false
        when input.stored and (locked.state = 'failed' or locked.decided_by is distinct from input.by
          or (input.rendition is true) <> coalesce(standing.rendition, false)
          or (standing.scores, standing.human) is distinct from (input.scores, input.human)) then false
        when input.fetched is not null and locked.state = 'failed' and locked.decided_at > input.fetched then false
        when input.fetched is not null and exists (
          select from verdicts v
          where v.photo_id = input.id and v.decided_at > input.fetched and v.digest <> input.digest
            -- of an original and its rendition digests always differ, which tells nothing where the version is of certain bytes
            and (coalesce(v.rendition, false) = (input.rendition is true)
              or (v.rendition is not true and (locked.version = '' or locked.version like 'generation:%')))) then false
        when input.verdict = 'failed' and input.backfill is not null and input.counted is not true
          and locked.state not in ('pending', 'failed') and locked.decided_by = input.by and locked.policy = input.policy
          and standing.id is distinct from input.over then false
        when input.verdict = 'failed' then
          case when locked.state = 'failed' then locked.failure is distinct from input.failure
               else locked.state = 'pending' or not input.transient end
        when locked.state in ('pending', 'failed')
          or locked.decided_by is distinct from input.by or locked.policy is distinct from input.policy then true
        when (input.rendition is true) <> coalesce(standing.rendition, false) then input.rendition is not true
        else (asked.again and input.batch not like 'same-%' or coalesce(input.over = standing.id, false))
          and (locked.state, locked.rule, locked.category, locked.human)
            is distinct from (input.verdict, input.rule, input.category, input.human)
          or (locked.version = '' or locked.version like 'generation:%')
          and coalesce(input.asked_at > locked.decided_at + case when input.looked is null then interval '1 second' else '0' end, false)
          and (input.digest is null or input.digest is distinct from standing.digest)
          and (locked.state, locked.rule, locked.category) is distinct from (input.verdict, input.rule, input.category)
      end as differs
    from input join photos locked on locked.id = input.id
    left join lateral (
      select v.id, v.rendition, v.digest, v.scores, v.human from verdicts v
      where v.photo_id = input.id and locked.decided_by = input.by order by v.id desc limit 1
    ) standing on true
    cross join lateral (
      select count(*) > 0 as settled,
        coalesce(bool_and(s.propose), false) and (coalesce(input.fed, false) or coalesce(input.counted, false)) as proposed,
        coalesce(bool_or(s.again) filter (where not s.propose), bool_or(s.again) and input.fed, false) as again,
        max(s.backfill_id) filter (where not s.propose) as of_backfill
      from jsonb_to_recordset((select by_photo from runs) -> input.id::text) as s (backfill_id bigint, propose boolean, again boolean)
    ) asked
  ), changing as materialized (
    select * from wanted w where w.differs and not w.proposed
  ), state as (
    update photos p
    set state = w.verdict, category = w.category, human = w.human, rule = w.rule, reason = w.reason,
        failure = w.failure, decided_by = w.by, policy = w.policy, decided_at = now(),
        listing = case when p.inherited then coalesce(w.known ->> 'listing', p.listing) else coalesce(p.listing, w.known ->> 'listing') end,
        inherited = p.inherited and w.known ->> 'listing' is null,
        uploader = coalesce(p.uploader, w.known ->> 'uploader'),
        claimed = coalesce(p.claimed, w.known ->> 'claimed')
    from changing w where p.id = w.id
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, failure, backfill_id,
      digest, rendition, tries)
    select w.id, w.verdict, w.rule, w.reason, w.category, w.human, w.scores, w.by, w.policy, w.batch, w.failure, w.of_backfill,
      w.digest, w.rendition, w.tries
    from changing w
  ), given as (
    select w.id, t.category, t.score, t.threshold, w.by
    from changing w, jsonb_to_recordset(coalesce(w.tags, '[]')) as t (category text, score real, threshold real)
  ), taken as (
    delete from tags t using changing w
    where t.photo_id = w.id and not coalesce(w.tags @> jsonb_build_array(jsonb_build_object('category', t.category)), false)
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select g.id, g.category, g.score, g.threshold, g.by from given g
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  ), outcomes as materialized (
    select s.backfill_id, w.id as photo_id, w.before, w.before_category,
      case when w.differs then w.verdict else 'kept' end as after,
      case when w.differs then coalesce(w.category, '') else w.before_category end as after_category,
      coalesce(w.failure, '') as code,
      -- nothing else would tell the feeder that a list names it once more
      s.listed and not (w.differs and case when w.proposed then s.propose else w.of_backfill is not distinct from s.backfill_id end) as unseen,
      case when w.differs and w.proposed and s.propose then w.item - 'counted' - 'fed' - 'age' - 'looked' || jsonb_build_object(
        'over', w.standing, 'fetched', w.asked_at) end as proposal
    from wanted w
    cross join lateral jsonb_to_recordset((select by_photo from runs) -> w.id::text) as s (backfill_id bigint, propose boolean, listed boolean)
  ), proposed as (
    insert into proposals (backfill_id, photo_id, item)
    select o.backfill_id, o.photo_id, o.proposal || jsonb_build_object('backfill', o.backfill_id)
    from outcomes o where o.proposal is not null
    on conflict on constraint proposals_pkey do update set item = excluded.item
  ), counted as (
    insert into backfill_counts as c (backfill_id, before, before_category, after, after_category, code, photos)
    select o.backfill_id, o.before, o.before_category, o.after, o.after_category, o.code, count(*)
    from outcomes o group by 1, 2, 3, 4, 5, 6
    -- in one order, so that two groups never wait for each other in a circle
    order by 1, 2, 3, 4, 5, 6
    on conflict on constraint backfill_counts_pkey do update set photos = c.photos + excluded.photos
  ), noted as (
    insert into backfill_changes (backfill_id, photo_id, before, before_category, after, after_category, code)
    select o.backfill_id, o.photo_id, o.before, nullif(o.before_category, ''), o.after, nullif(o.after_category, ''), nullif(o.code, '')
    from outcomes o
    where o.code <> '' or o.unseen or (o.after <> 'kept' and (o.before, o.before_category) is distinct from (o.after, o.after_category))
    on conflict on constraint backfill_changes_pkey do update
      set before = excluded.before, before_category = excluded.before_category, after = excluded.after,
          after_category = excluded.after_category, code = excluded.code
  )
  select w.id, w.differs and not w.proposed from wanted w;
end $$;

-- As record_verdicts, of what a run decides anew from stored scores, as long as it runs: one that is cancelled meanwhile waits for
-- this group, and gets no other. How far it has come is noted with that, so that who goes on after a crash counts nothing twice.
-- p_from: the cursor that it was read from, p_cursor: where the next group begins; p_seen: photos in between; p_end: none is left.
-- MD409: it does not run. MD412: another command was faster. Nothing changed then.
-- Locks: the backfill, but its key, then as record_verdicts.
create or replace function decide_anew(p_id bigint, p_items jsonb, p_from jsonb, p_cursor jsonb, p_seen bigint, p_end boolean)
returns void language plpgsql as $$
declare
  run backfills;
  given bigint := jsonb_array_length(p_items);
begin
  select * into run from backfills b where b.id = p_id for no key update;
  if run.state is distinct from 'running' then
    raise exception 'backfill % is %', p_id, coalesce(run.state, 'gone') using errcode = 'MD409';
  elsif run.cursor is distinct from p_from then
    raise exception 'backfill % stands elsewhere', p_id using errcode = 'MD412';
  end if;
  perform record_verdicts(p_items);
  update backfills
  set cursor = p_cursor, seen = seen + p_seen, fed = fed + given, skipped = skipped + p_seen - given, read_all = p_end,
      state = case when p_end then 'done' else 'running' end, ended_at = case when p_end then now() end
  where id = p_id;
end $$;

-- Whether what p_by says is what a backfill of p_model asks for: that model or the active one says it, or none is active. Right after a promotion
-- workers still run the model before, of which a backfill wants nothing.
create or replace function settles(p_by text, p_model text) returns boolean language sql stable as $$
  select p_by = p_model or p_by = coalesce((select 'model:' || id from models where state = 'active'), p_by)
$$;
