-- Up Migration

-- As before (migrations/0012_desk.sql), but that `most` of a part bounds what the page holds of its kinds, and not what it is given
-- each time that it is filled up: audits were one in five of what was decided.
create or replace function claim_reviews(
  p_moderator text, p_page text, p_parts jsonb, p_limit integer, p_lease_s double precision, p_audit integer,
  p_before text default null
) returns table (photo_id bigint, kind text) language plpgsql as $$
#variable_conflict use_column
declare
  part record;
  before bigint[];
  room integer;
  held integer;
begin
  perform pg_advisory_xact_lock(hashtext('maitred claim_reviews'));
  -- whoever changes several claims takes them in the order of their photos
  perform 1 from review_claims c
  where (c.moderator = p_moderator and c.page in (p_page, p_before)) or c.until < now() - interval '1 day'
  order by c.photo_id for update;
  update review_claims c set page = p_page where (c.moderator, c.page) = (p_moderator, p_before);
  delete from review_claims where until < now() - interval '1 day';
  delete from review_claims c
  where (c.moderator, c.page) = (p_moderator, p_page) and (
    not exists (select from jsonb_array_elements(p_parts) i where i -> 'kinds' ? c.kind)
    or not exists (
      select from photos p where p.id = c.photo_id and p.superseded_at is null and case c.kind
        when 'appeal' then exists (select from appeals a where a.photo_id = p.id and a.answered_at is null)
        when 'audit' then p.state in ('shown', 'hidden') and p.decided_by like 'model:%'
        else p.state = 'review' end));
  with renewed as (
    update review_claims c set until = now() + make_interval(secs => p_lease_s)
    where (c.moderator, c.page) = (p_moderator, p_page) returning c.photo_id
  )
  select coalesce(array_agg(r.photo_id), '{}') into before from renewed r;
  held := cardinality(before);

  for part in select i.* from jsonb_to_recordset(p_parts) as i (kinds text[], most integer) loop
    room := least(p_limit - held, part.most - (
      select count(*)::integer from review_claims c
      where (c.moderator, c.page) = (p_moderator, p_page) and c.kind = any (part.kinds)));
    continue when room <= 0;
    with candidates as (
      select t.id, k.kind, k.n from unnest(part.kinds) with ordinality k (kind, n)
      cross join lateral photos_to_review(k.kind, room, p_audit) t (id)
    ), busy as (
      -- one that somebody is just giving back is not waited for, as they may wait for what is locked above
      select c.photo_id from review_claims c where c.photo_id in (select id from candidates)
      except
      select l.photo_id from (
        select c.photo_id from review_claims c where c.photo_id in (select id from candidates) for update skip locked) l
    ), chosen as (
      select distinct on (id) id, kind from candidates where id not in (select photo_id from busy) order by id, n
    )
    insert into review_claims as c (photo_id, moderator, page, kind, until)
    select f.id, p_moderator, p_page, f.kind, now() + make_interval(secs => p_lease_s)
    from (select * from chosen order by id limit room) f
    on conflict (photo_id) do update
      set moderator = excluded.moderator, page = excluded.page, kind = excluded.kind, until = excluded.until
      where c.until <= now();
    get diagnostics room = row_count;
    held := held + room;
  end loop;
  return query
  select c.photo_id, c.kind from review_claims c where (c.moderator, c.page) = (p_moderator, p_page)
  order by c.photo_id <> all (before), c.photo_id;
end $$;

-- As before (migrations/0012_desk.sql), but that a decision answers only an appeal that was seen: the photo was claimed for it, or it is no
-- later than the decision's `appeal`, which is when the one was made that was shown. One that came meanwhile stays open.
create or replace function decide_reviews(p_moderator text, p_items jsonb)
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
    elsif photo.superseded_at is not null then
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
