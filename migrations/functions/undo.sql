-- Takes back a decision, as undo_decision does, or a pass: the photo is claimed again, for this page of the moderator, unless it is held.
-- One that has another verdict since is not.
-- Locks: as undo_decision, or the photo, and then its claim.
create or replace function undo_review(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
returns table (photo_id bigint, outcome text, kind text) language plpgsql as $$
#variable_conflict use_column
declare pass review_passes;
begin
  select * into pass from review_passes s where (s.id, s.who) = (p_decision, p_moderator);
  if pass.id is null then
    return query select * from undo_decision(p_moderator, p_decision, p_lease_s, p_page);
    return;
  end if;
  perform 1 from photos p where p.id = pass.photo_id for update;
  update review_passes s set undone_at = now() where s.id = p_decision and s.undone_at is null;
  if not found then
    outcome := 'known';
  else
    insert into review_claims as c (photo_id, moderator, page, kind, until)
    select pass.photo_id, p_moderator, p_page, pass.kind, now() + make_interval(secs => p_lease_s)
    where pass.kind is not null
      and not exists (select from verdicts v where v.photo_id = pass.photo_id and v.id > pass.verdict_id)
    on conflict (photo_id) do update
      set moderator = excluded.moderator, page = excluded.page, kind = excluded.kind, until = excluded.until
      where c.until <= now();
    insert into audit_log (who, did, photo, about)
    select p_moderator, 'undone', p.id, jsonb_build_object('decision', p_decision, 'verdict', 'unsure', 'again', p.state)
    from photos p where p.id = pass.photo_id;
    outcome := 'done';
  end if;
  photo_id := pass.photo_id;
  kind := (select c.kind from review_claims c where (c.photo_id, c.moderator, c.page) = (pass.photo_id, p_moderator, p_page));
  return next;
end $$;

-- What undo_review does of what is no pass.
-- A photo that a model shows again, and copies of it, wait for a moderator where the one who saw their bytes last now hid them.
-- Those that wait because of the decision that is taken back still do. Locks: the photo and its copies, in the order of their ids; then
-- as take_back.
create or replace function undo_decision(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
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

-- What undo_decision does once copies are locked.
-- Takes back a decision of this moderator: state and tags are what they were, an appeal that it answered is open again, and
-- what the moderator saw teaches nothing. History keeps both: the verdict that stands again is there once more, with its
-- scores and who gave it, by the rule undo. A photo that had no verdict has none again; it says why, and waits for a queue,
-- since its job may have come and gone. So does one that is shown by a model's verdict again, so that a worker looks at it.
-- It is claimed again, for this page of the moderator, unless it is held.
-- Returns the photo, what became of it, and as what that page holds it:
--   done     it is as it was before the decision, or before the backfill whose verdict that was, if it was rolled back since
--   known    it was taken back before
--   changed  it was decided again since, or uploaded again
--   gone     there is no such decision of this moderator
-- Locks: the photo, and then its claim.
create or replace function take_back(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
returns table (photo_id bigint, outcome text, kind text) language plpgsql as $$
#variable_conflict use_column
declare
  d review_decisions;
  b photos;
  stood verdicts;
begin
  select * into d from review_decisions r where (r.id, r.moderator) = (p_decision, p_moderator);
  perform 1 from photos p where p.id = d.photo_id for update;
  if not found then
    return query select null::bigint, 'gone', null::text;
    return;
  end if;
  -- as it is now that the photo is locked
  select * into d from review_decisions r where r.id = p_decision;
  if d.undone_at is not null then
    return query select d.photo_id, 'known', null::text;
    return;
  elsif d.verdict_id <> (select max(v.id) from verdicts v where v.photo_id = d.photo_id and not taken_back(v))
    or not exists (select from photos p where p.id = d.photo_id and p.decided_by = 'moderator:' || p_moderator) then
    return query select d.photo_id, 'changed', null::text;
    return;
  end if;

  b := jsonb_populate_record(null::photos, d.before);
  update review_decisions r set undone_at = now() where r.id = p_decision;
  delete from reviews r where r.verdict_id = d.verdict_id;
  if b.state = 'pending' then
    b.rule := 'undo';
    b.reason := 'taken back by ' || p_moderator;
  else
    select * into stood from verdicts v where v.photo_id = d.photo_id and v.id < d.verdict_id order by v.id desc limit 1;
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, failure, rendition)
    values (d.photo_id, b.state, 'undo', 'taken back by ' || p_moderator || ': ' || coalesce(b.reason, ''), b.category, b.human,
      stood.scores, b.decided_by, b.policy, b.failure, stood.rendition);
  end if;
  delete from tags t where t.photo_id = d.photo_id;
  insert into tags select t.* from jsonb_populate_recordset(null::tags, d.before -> 'tags') t;
  update appeals a set answered_at = null, decision_id = null
  where a.decision_id = p_decision
    and not exists (select from appeals o where o.photo_id = d.photo_id and o.answered_at is null);
  insert into review_claims as c (photo_id, moderator, page, kind, until)
  select d.photo_id, p_moderator, p_page, d.kind, now() + make_interval(secs => p_lease_s) where d.kind is not null
  on conflict (photo_id) do update
    set moderator = excluded.moderator, page = excluded.page, kind = excluded.kind, until = excluded.until
    where c.until <= now();
  insert into audit_log (who, did, photo, about)
  values (p_moderator, 'undone', d.photo_id, jsonb_build_object('decision', p_decision, 'verdict', d.verdict, 'again', b.state));
  -- last, so that what is told of the photo has its tags
  update photos p
  set state = b.state, category = b.category, human = b.human, rule = b.rule, reason = b.reason, failure = b.failure,
      decided_by = b.decided_by, policy = b.policy, decided_at = b.decided_at
  where p.id = d.photo_id;
  perform restore_before_backfill(r.id, array[d.photo_id]) from (
    select distinct f.id from verdicts v join backfills f on f.id = v.backfill_id
    where v.photo_id = d.photo_id and f.outcome = 'rolled back') r;
  -- one of the archive too: whoever rolled back was not told of it, since it had the decision then. What is shown meanwhile is looked at soon
  update photos p set lane = 'live' where p.id = d.photo_id and p.state = 'shown' and p.decided_by like 'model:%' and p.lane <> 'live';
  insert into unqueued (photo_id)
  select p.id from photos p where p.id = d.photo_id and p.superseded_at is null
    -- while a moderator had hidden it the version that it is may have gone, or another model or policy come that would not show it
    and (p.state = 'pending' or (p.state = 'shown' and p.decided_by like 'model:%'))
  on conflict do nothing;
  return query
  select d.photo_id, 'done', (
    select c.kind from review_claims c where (c.photo_id, c.moderator, c.page) = (d.photo_id, p_moderator, p_page));
end $$;
