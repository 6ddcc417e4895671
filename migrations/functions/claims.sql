-- The rule of a verdict "review" that is asked about as this kind.
create or replace function review_rule(p_kind text) returns text immutable parallel safe language sql as $$
  select case p_kind
    when 'human' then 'human-uncertain' when 'category' then 'category-uncertain' when 'scores' then 'scores-invalid'
    else p_kind end
$$;

-- Photos of which a person is asked as p_kind, those who wait longest first, audits newest first: at most p_limit, and
-- none that is held. Audits are looked for among the newest that the index photos_audit holds, so that a sample which is
-- all audited costs no more than one that is not. p_audit: how many in a thousand are drawn.
create or replace function photos_to_review(p_kind text, p_limit integer, p_audit integer) returns setof bigint
stable language plpgsql as $$
begin
  if p_kind = 'appeal' then
    return query
    select a.photo_id from appeals a join photos p on p.id = a.photo_id
    where a.answered_at is null and p.superseded_at is null
      and not exists (select from review_claims c where c.photo_id = a.photo_id and c.until > now())
    order by a.at, a.photo_id limit p_limit;
  elsif p_kind = 'audit' then
    return query
    select n.id from (
      select p.id from photos p
      where p.superseded_at is null and p.state in ('shown', 'hidden') and p.decided_by like 'model:%'
        and audit_rank(p.id) < 50
      order by p.id desc limit 5000) n
    where audit_rank(n.id) < p_audit
      and not exists (select from review_claims c where c.photo_id = n.id and c.until > now())
      and not exists (select from appeals a where a.photo_id = n.id and a.answered_at is null)
    order by n.id desc limit p_limit;
  else
    return query
    select p.id from photos p
    where p.state = 'review' and p.superseded_at is null and p.rule = review_rule(p_kind)
      and not exists (select from review_claims c where c.photo_id = p.id and c.until > now())
    order by p.id limit p_limit;
  end if;
end $$;

-- Claims photos for a page of a moderator for p_lease_s seconds, until it holds p_limit. p_parts: a JSON array of {kinds, most},
-- which are filled one after the other until the page holds `most` of their kinds: of these kinds those photos come first that have
-- waited longest. What the moderator passed comes again after a day, as where nobody else is there.
-- What the page holds already is renewed, unless it is of a kind that is not asked for, or needs nobody any more.
-- p_before: the page before this one in its tab, which is gone: what it holds still is held by this one.
-- Returns what the page holds, what was held before first. Whoever asks at the same moment takes turns, so each page gets
-- other photos, those of one moderator too.
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
  passed integer;
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
  -- not before what is locked above: a pass may have been on its way
  select count(*) into passed from review_passes s where s.who = p_moderator and s.passed_at > now() - interval '1 day';

  for part in select i.* from jsonb_to_recordset(p_parts) as i (kinds text[], most integer) loop
    room := least(p_limit - held, part.most - (
      select count(*)::integer from review_claims c
      where (c.moderator, c.page) = (p_moderator, p_page) and c.kind = any (part.kinds)));
    continue when room <= 0;
    with candidates as (
      select t.id, k.kind, k.n from unnest(part.kinds) with ordinality k (kind, n)
      cross join lateral (
        -- so many more that there is room for none that was passed
        select r.id from photos_to_review(k.kind, room + passed, p_audit) with ordinality r (id, n)
        where not exists (
          select from standing_passes() s
          where (s.photo_id, s.who) = (r.id, p_moderator) and s.passed_at > now() - interval '1 day')
        order by r.n limit room) t
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

-- Passes that count: there is no other verdict since, and no appeal.
create or replace function standing_passes() returns setof review_passes language sql stable as $$
  select * from review_passes s
  where s.undone_at is null
    and not exists (select from verdicts v where v.photo_id = s.photo_id and v.id > s.verdict_id)
    and not exists (select from appeals a where a.photo_id = s.photo_id and a.answered_at is null and a.at > s.passed_at)
$$;

-- Opens an appeal against the verdict of a current photo, which keeps it meanwhile. Where one is open already that one stays.
-- p_by: who objects; p_who: who says so, for the audit log.
-- Returns when the open one was made, and whether this call made it. MD404: there is no such photo, or it is not current.
create or replace function open_appeal(p_photo_id bigint, p_reason text, p_by text, p_who text)
returns table (at timestamptz, fresh boolean) language plpgsql as $$
#variable_conflict use_column
declare opened timestamptz;
begin
  perform 1 from photos p where p.id = p_photo_id and p.superseded_at is null for share;
  if not found then
    raise exception 'there is no current photo %', p_photo_id using errcode = 'MD404';
  end if;
  insert into appeals as a (photo_id, reason, by) values (p_photo_id, p_reason, p_by)
  on conflict (photo_id) where answered_at is null do nothing
  returning a.at into opened;
  if opened is not null then
    insert into audit_log (who, did, photo) values (p_who, 'appealed', p_photo_id);
    return query select opened, true;
  end if;
  return query select a.at, false from appeals a where a.photo_id = p_photo_id and a.answered_at is null;
end $$;
