-- Decides reviews at the desk. p_decisions and outcomes are those of commit_decisions; changed is also where the photo was held since asOf, as another
-- moderator hid its bytes, and would be shown by who did not know; and where it waited already for that reason, which its history says from then on.
-- Verdicts are numbered over all photos, and a later one of this photo has a higher number, as it is locked.
-- Locks: the photos and copies of those that are to be hidden, in the order of their ids; then as commit_decisions.
create or replace function decide_reviews(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  digests bytea[] := array(
    select distinct bytes_of(i.photo) from jsonb_to_recordset(p_items) as i (photo bigint, verdict text) where i.verdict = 'hidden');
  item jsonb;
  hidden bigint;
  held bigint;
begin
  perform 1 from photos p
  where p.id = any (array(
    select i.photo from jsonb_to_recordset(p_items) as i (photo bigint) union select copies_of(d) from unnest(digests) d))
  order by p.id for update;
  perform 1 from review_claims c
  where c.photo_id in (select i.photo from jsonb_to_recordset(p_items) as i (photo bigint)) order by c.photo_id for update;
  for item in select e.item from jsonb_array_elements(p_items) with ordinality as e (item, n) order by n loop
    select p.id, r.moderator, p.state, v.id, v.held, r.photo_id into photo_id, other, state, as_of, held, hidden
    from photos p
    cross join lateral (select max(v.id) as id, max(v.id) filter (where v.rule = 'hidden-copy') as held from verdicts v where v.photo_id = p.id) v
    cross join lateral (
      select r.verdict, r.moderator, r.verdict_id, r.photo_id from reviews r
      where r.digest = bytes_of(p.id) order by r.verdict_id desc limit 1) r
    where p.id = (item ->> 'photo')::bigint and item ->> 'verdict' = 'shown'
      and p.state = 'review' and p.superseded_at is null and greatest(v.held, r.verdict_id) > (item ->> 'asOf')::bigint
      and r.verdict = 'hidden' and r.moderator <> p_moderator
      -- what commit_decisions says first
      and (p.version <> '' or p.revived_at is null or exists (
        select from verdicts v where v.photo_id = p.id and v.id <= (item ->> 'asOf')::bigint and v.decided_at >= p.revived_at))
      and not exists (select from review_claims c where c.photo_id = p.id and c.moderator <> p_moderator and c.until > now())
      and not exists (select from review_decisions d where d.id = (item ->> 'id')::uuid);
    if found then
      if held is null or held <= (item ->> 'asOf')::bigint then
        with told as (
          update photos p set rule = 'hidden-copy', reason = other || ' hid the same bytes: photo ' || hidden, decided_at = now()
          where p.id = photo_id returning p.*
        )
        insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, backfill_id, rendition)
        select t.id, t.state, t.rule, t.reason, t.category, t.human, v.scores, t.decided_by, t.policy, v.backfill_id, v.rendition
        from told t cross join lateral (
          select v.scores, v.backfill_id, v.rendition from verdicts v
          where v.photo_id = t.id and v.decided_by = t.decided_by and v.rule <> 'undo' order by v.id desc limit 1) v
        returning id into as_of;
      end if;
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

-- Records one decision, as commit_shown_or_hidden does, or with the verdict 'unsure' a pass: the photo stays as it is, and what the
-- moderator holds of it is given back. It does not matter who holds or decided it meanwhile. Of a pass the outcome is
--   done     it is recorded
--   known    it was here before, and counts
--   clash    the id was used for something else
--   changed  it was here before, and this moderator took it back
--   gone     there is no such photo
-- What would be shown is withdrawn where other bytes were judged as the photo since asOf.
-- Locks: those of decide_reviews, which calls it.
create or replace function commit_decisions(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  item jsonb := p_items -> 0;
  photo bigint := item ->> 'photo';
  known review_passes;
  asked text;
begin
  select * into known from review_passes s where s.id = (item ->> 'id')::uuid;
  if item ->> 'verdict' = 'shown' and exists (
    select from photos p
    where p.id = photo and (p.version like 'etag:%' or p.store = 'folder')
      and bytes_of(p.id) <> bytes_of(p.id, (item ->> 'asOf')::bigint)
      -- the digest of a rendition says nothing of the photo
      and exists (
        select from verdicts v
        where v.photo_id = p.id and v.id <= (item ->> 'asOf')::bigint and v.scores is not null and v.rendition is not true
          and v.batch is not null offset 0)
  ) and not exists (select from review_decisions d where d.id = (item ->> 'id')::uuid) then
    select (item ->> 'id')::uuid, photo, 'withdrawn', null, p.state, (select max(v.id) from verdicts v where v.photo_id = photo)
    into id, photo_id, outcome, other, state, as_of from photos p where p.id = photo;
    return next;
    return;
  end if;
  if known.id is null and item ->> 'verdict' <> 'unsure' then
    return query select * from commit_shown_or_hidden(p_moderator, p_items);
    return;
  end if;
  select p.state into state from photos p where p.id = photo;
  select max(v.id) into as_of from verdicts v where v.photo_id = photo;
  id := item ->> 'id';
  photo_id := photo;
  if known.id is not null then
    outcome := case
      when (known.who, known.photo_id, 'unsure') is distinct from (p_moderator, photo, item ->> 'verdict') then 'clash'
      when known.undone_at is not null then 'changed'
      else 'known' end;
    other := case when outcome = 'changed' then p_moderator end;
  elsif exists (select from review_decisions d where d.id = (item ->> 'id')::uuid) then
    outcome := 'clash';
  elsif state is null then
    outcome := 'gone';
  else
    -- one that comes late, and is of an earlier verdict, takes nothing from another page of the same moderator
    delete from review_claims c
    where (c.photo_id, c.moderator) = (photo, p_moderator) and coalesce((item ->> 'asOf')::bigint, as_of, 0) >= coalesce(as_of, 0)
    returning c.kind into asked;
    insert into review_passes (id, photo_id, who, verdict_id, kind)
    values ((item ->> 'id')::uuid, photo, p_moderator, coalesce(least((item ->> 'asOf')::bigint, as_of), 0), asked);
    insert into audit_log (who, did, photo, about)
    values (p_moderator, 'passed', photo, jsonb_strip_nulls(jsonb_build_object('decision', item ->> 'id', 'kind', asked)));
    outcome := 'done';
  end if;
  return next;
end $$;

-- What commit_decisions does of what is no pass.
-- Records decisions of a moderator: a JSON array of {id, photo, verdict, category, human, note, asOf, appeal}. Each counts or does
-- not, whatever becomes of the others. A photo that was claimed as an audit gives an audit. An open appeal is answered that was
-- seen: the photo was claimed for it, or it is no later than `appeal`, which is when the one was made that was shown. One that came
-- meanwhile stays open.
-- Returns of each, in order, the outcome, who was in the way, and what the photo is now:
--   done       it counts now
--   known      it was here before, and counts
--   clash      the id was used for something else
--   taken      another moderator holds the photo
--   changed    another moderator decided the photo, and asOf shows that this one did not know; or it was here before, and
--              this one took it back
--   withdrawn  its object was replaced or removed since, so there is nothing to decide; or it would be shown, and was uploaded again
--              after what the moderator saw
--   gone       there is no such photo
-- Locks: the photos, in the order of their ids, and then their claims in the same order.
create or replace function commit_shown_or_hidden(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  i record;
  photo photos;
  known review_decisions;
  claim review_claims;
  before jsonb;
  written bigint;
begin
  perform 1 from photos p
  where p.id in (select t.photo from jsonb_to_recordset(p_items) as t (photo bigint)) order by p.id for update;
  perform 1 from review_claims c
  where c.photo_id in (select t.photo from jsonb_to_recordset(p_items) as t (photo bigint)) order by c.photo_id for update;
  for i in
    select * from rows from (jsonb_to_recordset(p_items) as (
      id uuid, photo bigint, verdict text, category text, human boolean, note text, "asOf" bigint, appeal timestamptz
    )) with ordinality as t (id, photo, verdict, category, human, note, seen, appeal, n) order by n
  loop
    id := i.id;
    photo_id := i.photo;
    other := null;
    select * into photo from photos p where p.id = i.photo;
    select * into known from review_decisions d where d.id = i.id;
    select * into claim from review_claims c where c.photo_id = i.photo;
    select max(v.id) into as_of from verdicts v where v.photo_id = i.photo;
    if known.id is not null then
      outcome := case
        when (known.moderator, known.photo_id, known.verdict, known.category, known.human)
          is distinct from (p_moderator, i.photo, i.verdict, i.category, i.human) then 'clash'
        when known.undone_at is not null then 'changed'
        else 'known' end;
      other := case when outcome = 'changed' then p_moderator end;
    elsif photo.id is null then
      outcome := 'gone';
    elsif photo.superseded_at is not null
      -- it was uploaded again, and what was looked at may be other bytes
      or (photo.version = '' and photo.revived_at is not null and i.verdict = 'shown' and not exists (
        select from verdicts v where v.photo_id = i.photo and v.id <= i.seen and v.decided_at >= photo.revived_at)) then
      outcome := 'withdrawn';
    elsif claim.moderator <> p_moderator and claim.until > now() then
      outcome := 'taken';
      other := claim.moderator;
    elsif photo.decided_by like 'moderator:%' and photo.decided_by <> 'moderator:' || p_moderator and exists (
      -- what an undo restored was known before
      select from verdicts v
      where v.photo_id = i.photo and v.id > i.seen and v.decided_by = photo.decided_by and v.rule <> 'undo') then
      outcome := 'changed';
      other := substr(photo.decided_by, 11);
    else
      claim := case when claim.moderator = p_moderator then claim end;
      before := photo_before(photo);
      written := record_review(
        i.photo, p_moderator, i.verdict, i.category, i.human, coalesce(claim.kind = 'audit', false), i.note);
      insert into review_decisions (id, photo_id, moderator, kind, verdict, category, human, verdict_id, before)
      values (i.id, i.photo, p_moderator, claim.kind, i.verdict, i.category, i.human, written,
        before);
      update appeals a set answered_at = now(), decision_id = i.id where a.photo_id = i.photo and a.answered_at is null
        and (claim.kind = 'appeal' or a.at <= i.appeal);
      delete from review_claims c where c.photo_id = i.photo;
      insert into audit_log (who, did, photo, about)
      values (p_moderator, 'decided', i.photo, jsonb_strip_nulls(jsonb_build_object('decision', i.id, 'verdict', i.verdict,
        'before', photo.state, 'category', i.category, 'human', i.human, 'kind', claim.kind)));
      outcome := 'done';
      as_of := written;
    end if;
    state := case outcome when 'done' then i.verdict else photo.state end;
    return next;
  end loop;
end $$;

-- What there is to restore of a photo.
create or replace function photo_before(p photos) returns jsonb stable language sql as $$
  select jsonb_build_object('state', p.state, 'category', p.category, 'human', p.human, 'rule', p.rule, 'reason', p.reason,
    'failure', p.failure, 'decided_by', p.decided_by, 'policy', p.policy, 'decided_at', p.decided_at,
    'tags', coalesce((select jsonb_agg(to_jsonb(t)) from tags t where t.photo_id = p.id), '[]'))
$$;
