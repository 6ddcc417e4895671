-- Up Migration

-- Who is signed in to the desk. The browser has the secret; here is its hash.
create table desk_sessions (
  id         text primary key check (id ~ '^[0-9a-f]{12}$'),
  hash       bytea not null,
  subject    text not null check (subject ~ '^(token|oidc|link):'),
  name       text not null check (name <> ''),
  roles      text[] not null check (roles <@ array['viewer', 'moderator', 'operator']),
  started_at timestamptz not null default now(),
  seen_at    timestamptz not null default now(),
  ends_at    timestamptz not null,
  ended_at   timestamptz
);
comment on table desk_sessions is 'Who is, or was, signed in to the desk; the secrets themselves are nowhere.';
comment on column desk_sessions.subject is 'token:ID, whose revocation ends it; oidc:ISSUER#SUBJECT; or link:NAME';
comment on column desk_sessions.name is 'What history calls this person';
comment on column desk_sessions.seen_at is 'When it was last used, to a minute';
comment on column desk_sessions.ended_at is 'Signed out, or revoked';

-- Whom a name is of, so that two people are never one: verdicts, claims and the log know people by their names.
create table desk_people (
  name    text primary key check (name <> ''),
  subject text not null unique
);
comment on table desk_people is 'Names of those who signed in to the desk, of which each is one person''s for ever; rows are only added.';
comment on column desk_people.subject is 'oidc:ISSUER#SUBJECT, link:NAME, or "token named NAME": whoever has a token of the name after another is the same person';

create table audit_log (
  id       bigint generated always as identity primary key,
  at       timestamptz not null default now(),
  who      text not null,
  did      text not null,
  photo    bigint,
  about    jsonb not null default '{}'
);
comment on table audit_log is 'Who did what at the desk, and to backfills from wherever, oldest first; rows are only added. Of a photo it knows the number alone, which names nothing once the photo is forgotten.';
create index audit_log_photo on audit_log (photo, id) where photo is not null;
create trigger audit_log_append_only before update or delete on audit_log
  for each row execute function refuse_change();

-- What somebody objects to. The photo keeps its verdict until a moderator has looked.
create table appeals (
  id          bigint generated always as identity primary key,
  photo_id    bigint not null references photos on delete cascade,
  reason      text not null,
  by          text not null,
  at          timestamptz not null default now(),
  answered_at timestamptz,
  decision_id uuid
);
comment on table appeals is 'Objections to verdicts: by the platform for an uploader or a guest, or by somebody at the desk.';
create unique index appeals_open on appeals (photo_id) where answered_at is null;
create index appeals_photo on appeals (photo_id, id);
create index appeals_waiting on appeals (at, photo_id) where answered_at is null;
create index appeals_decision on appeals (decision_id) where decision_id is not null;

-- Who looks at which photo, so that no other moderator gets it meanwhile. As small as what moderators hold. No reference to
-- photos, whose rows would be locked for it; one on a photo that is gone holds up nobody, and goes within a day.
create table review_claims (
  photo_id  bigint primary key,
  moderator text not null,
  kind      text not null,
  until     timestamptz not null,
  page      text not null default ''
);
comment on table review_claims is 'Photos that a moderator looks at; after until another may have them.';
comment on column review_claims.page is 'Which of the moderator''s pages shows it, by a name that the page made up';
create index review_claims_moderator on review_claims (moderator);

-- What was decided at the desk, under an id that the page made, so that sending it again does nothing more.
create table review_decisions (
  id         uuid primary key,
  photo_id   bigint not null references photos on delete cascade,
  moderator  text not null,
  kind       text,
  verdict    text not null,
  category   text,
  human      boolean,
  verdict_id bigint not null,
  before     jsonb not null,
  at         timestamptz not null default now(),
  undone_at  timestamptz
);
comment on table review_decisions is 'Decisions of moderators at the desk. Who, when and what; verdicts and reviews follow from them.';
comment on column review_decisions.kind is 'Why the photo was asked about; null where the moderator chose it';
comment on column review_decisions.before is 'State and tags of the photo before, for whoever takes it back';
create index review_decisions_moderator on review_decisions (moderator, at);
create index review_decisions_photo on review_decisions (photo_id);

comment on table reviews is 'What moderators saw and did not take back, oldest first; rows are never changed. Who, when and the verdict are in verdicts.';

-- The rule of a verdict "review" that is asked about as this kind.
create function review_rule(p_kind text) returns text immutable parallel safe language sql as $$
  select case p_kind
    when 'human' then 'human-uncertain' when 'category' then 'category-uncertain' when 'scores' then 'scores-invalid'
    else p_kind end
$$;

-- Where in 0..999 a photo falls by chance, the same each time: those below N are a sample of N in a thousand.
create function audit_rank(p_photo_id bigint) returns bigint immutable parallel safe language sql as $$
  select (hashint8extended(p_photo_id, 0) & 9223372036854775807) % 1000
$$;

-- Photos of which a person is asked as p_kind, those who wait longest first, audits newest first: at most p_limit, and
-- none that is held. Audits are looked for among the newest that the index photos_audit holds, so that a sample which is
-- all audited costs no more than one that is not. p_audit: how many in a thousand are drawn.
create function photos_to_review(p_kind text, p_limit integer, p_audit integer) returns setof bigint
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
-- which are filled one after the other: of the kinds of a part those photos come first that have waited longest.
-- What the page holds already is renewed, unless it is of a kind that is not asked for, or needs nobody any more.
-- p_before: the page before this one in its tab, which is gone: what it holds still is held by this one.
-- Returns what the page holds, what was held before first. Whoever asks at the same moment takes turns, so each page gets
-- other photos, those of one moderator too.
create function claim_reviews(
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
    room := least(part.most, p_limit - held);
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

-- As before (migrations/0009_backfills.sql), and that of a moderator who took it back. Nor does what an undo says count, which
-- is an older verdict's.
create or replace function taken_back(v verdicts) returns boolean stable language sql as $$
  select v.rule = 'undo'
    or exists (select from backfills b where b.id = v.backfill_id and b.outcome = 'rolled back')
    or exists (
      select from review_decisions d where d.photo_id = v.photo_id and d.verdict_id = v.id and d.undone_at is not null)
$$;

-- What there is to restore of a photo.
create function photo_before(p photos) returns jsonb stable language sql as $$
  select jsonb_build_object('state', p.state, 'category', p.category, 'human', p.human, 'rule', p.rule, 'reason', p.reason,
    'failure', p.failure, 'decided_by', p.decided_by, 'policy', p.policy, 'decided_at', p.decided_at,
    'tags', coalesce((select jsonb_agg(to_jsonb(t)) from tags t where t.photo_id = p.id), '[]'))
$$;

-- Records decisions of a moderator: a JSON array of {id, photo, verdict, category, human, note, asOf}. Each counts or does not,
-- whatever becomes of the others. A photo that was claimed as an audit gives an audit; its open appeal is answered.
-- Returns of each, in order, the outcome, who was in the way, and what the photo is now:
--   done       it counts now
--   known      it was here before, and counts
--   clash      the id was used for something else
--   taken      another moderator holds the photo
--   changed    another moderator decided the photo, and asOf shows that this one did not know; or it was here before, and
--              this one took it back
--   withdrawn  its object was replaced or removed since, so there is nothing to decide
--   gone       there is no such photo
-- Locks: the photos, in the order of their ids, and then their claims in the same order.
create function decide_reviews(p_moderator text, p_items jsonb)
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
      id uuid, photo bigint, verdict text, category text, human boolean, note text, "asOf" bigint
    )) with ordinality as t (id, photo, verdict, category, human, note, seen, n) order by n
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
      update appeals a set answered_at = now(), decision_id = i.id where a.photo_id = i.photo and a.answered_at is null;
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

-- Takes back a decision of this moderator: state and tags are what they were, an appeal that it answered is open again, and
-- what the moderator saw teaches nothing. History keeps both: the verdict that stands again is there once more, with its
-- scores and who gave it, by the rule undo. A photo that had no verdict has none again; it says why, and waits for a queue,
-- since its job may have come and gone. It is claimed again, for this page of the moderator, unless it is held.
-- Returns the photo, what became of it, and as what that page holds it:
--   done     it is as it was before the decision, or before the backfill whose verdict that was, if it was rolled back since
--   known    it was taken back before
--   changed  it was decided again since
--   gone     there is no such decision of this moderator
-- Locks: the photo, and then its claim.
create function undo_review(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
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
  elsif d.verdict_id <> (select max(v.id) from verdicts v where v.photo_id = d.photo_id and not taken_back(v)) then
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
  -- one of the archive too: whoever rolled back was not told of it, since it had the decision then
  insert into unqueued (photo_id)
  select p.id from photos p where p.id = d.photo_id and p.state = 'pending' and p.superseded_at is null
  on conflict do nothing;
  return query
  select d.photo_id, 'done', (
    select c.kind from review_claims c where (c.photo_id, c.moderator, c.page) = (d.photo_id, p_moderator, p_page));
end $$;

-- Opens an appeal against the verdict of a current photo, which keeps it meanwhile. Where one is open already that one stays.
-- p_by: who objects; p_who: who says so, for the audit log.
-- Returns when the open one was made, and whether this call made it. MD404: there is no such photo, or it is not current.
create function open_appeal(p_photo_id bigint, p_reason text, p_by text, p_who text)
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

-- The name of a person: the one they had before, else p_name, or with a number behind it where that is another's. Whoever
-- has a live token of a name has the name too, before ever signing in.
create function name_person(p_subject text, p_name text) returns text language plpgsql as $$
declare
  person text := case when p_subject like 'token:%' then 'token named ' || p_name else p_subject end;
  known text;
  candidate text := p_name;
begin
  for n in 2 .. 1000 loop
    select d.name into known from desk_people d where d.subject = person;
    if found then
      return known;
    end if;
    insert into desk_people (name, subject)
    select candidate, person
    where person = 'token named ' || candidate
      or not exists (select from tokens t where t.name = candidate and t.revoked_at is null)
    on conflict do nothing;
    if found then
      return candidate;
    end if;
    candidate := p_name || ' (' || n || ')';
  end loop;
  raise exception 'a thousand people are called %', p_name;
end $$;

-- Signs somebody in, writes it down, and forgets sessions that ended more than a month ago. Returns when the session ends at
-- the latest, and what the person is called.
create function start_session(
  p_id text, p_hash bytea, p_subject text, p_name text, p_roles text[], p_lasts_s double precision,
  out ends timestamptz, out person text
) language plpgsql as $$
begin
  person := name_person(p_subject, p_name);
  delete from desk_sessions where ends_at < now() - interval '30 days';
  insert into desk_sessions (id, hash, subject, name, roles, ends_at)
  values (p_id, p_hash, p_subject, person, p_roles, now() + make_interval(secs => p_lasts_s))
  returning ends_at into ends;
  insert into audit_log (who, did, about)
  values (person, 'signed-in', jsonb_build_object('session', p_id, 'by', p_subject, 'roles', p_roles));
end $$;

-- Ends a session, and writes down who did. Returns whether it was there and had not ended.
create function end_session(p_id text, p_by text, p_did text) returns boolean language plpgsql as $$
declare whose text;
begin
  update desk_sessions set ended_at = now() where id = p_id and ended_at is null and ends_at > now()
  returning name into whose;
  if not found then
    return false;
  end if;
  insert into audit_log (who, did, about) values (p_by, p_did, jsonb_build_object('session', p_id, 'of', whose));
  return true;
end $$;

-- Photos whose key begins with p_key, in p_bucket or, where that is null, in any. Of a beginning that more than 5,000 keys of
-- a bucket have, the first of them.
create function photos_by_key(p_bucket text, p_key text) returns setof bigint stable language sql as $$
  with recursive buckets (store, bucket) as (
    -- from one to the next through the index, however many photos each has
    (select p.store, p.bucket from photos p order by p.store, p.bucket limit 1)
    union all
    select n.store, n.bucket from buckets b cross join lateral (
      select p.store, p.bucket from photos p where (p.store, p.bucket) > (b.store, b.bucket)
      order by p.store, p.bucket limit 1) n
  )
  select f.id from buckets b cross join lateral (
    select p.id from photos p
    where (p.store, p.bucket) = (b.store, b.bucket) and p.key >= p_key and p.key < p_key || chr(1114111)
    order by p.key limit 5000
  ) f
  where b.bucket = coalesce(p_bucket, b.bucket)
$$;

-- The first photo that was registered then or later, supposing that later photos have larger ids, which is so but for the
-- moment that a registration takes. It halves the ids again and again, so it needs no index of times.
create function photo_id_at(p_at timestamptz) returns bigint stable language plpgsql as $$
declare
  low bigint := 0;
  high bigint := coalesce((select max(id) from photos), 0) + 1;
  middle bigint;
  photo record;
begin
  while low < high loop
    middle := low + (high - low) / 2;
    select id, registered_at into photo from photos where id >= middle and id < high order by id limit 1;
    if photo.id is null or photo.registered_at >= p_at then
      high := middle;
    else
      low := photo.id + 1;
    end if;
  end loop;
  return low;
end $$;

-- Erases what is known of objects, in one transaction: p_objects is a JSON array of {store, bucket, key, spellings}, where
-- the spellings are how messages of queues may write the key. What the outbox tells of the photos goes with them, and that
-- they are forgotten is told instead, which names them until it is delivered: see write_forgotten.
-- Returns a row a table with how many rows went, also where none did, and at last one 'photo ID' for each photo, whose
-- jobs the caller takes out of the queue. What it did is written to erasures and to audit_log, without saying of which object.
-- A verdict in flight finds no row afterwards and changes nothing. An event that comes later makes the object known again.
-- Locks: the objects as record_events does, then their photos.
create function forget_objects(p_objects jsonb, p_by text) returns table (what text, count bigint) language plpgsql as $$
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

  -- a backfill or a sweep that stands at this very key begins anew
  update backfills b set cursor = null
  where exists (
    select from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text)
    where i.store = 's3' and b.what ->> 'bucket' = i.bucket and b.cursor ->> 'after' = i.key);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfills', gone);

  update sweeps s set cursor = ''
  where s.cursor <> '' and (s.bucket, s.cursor) in (
    select i.bucket, i.key from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text) where i.store = 's3');
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

-- What grant_roles gave until now, and then what is new here; it is called by the same name.
alter function grant_roles(text) rename to grant_roles_before_desk;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  perform grant_roles_before_desk(p_queue_schema);
  if to_regrole('maitred_worker') is not null then
    grant select, insert, update, delete on desk_sessions, review_claims to maitred_worker;
    grant select, insert on audit_log, desk_people to maitred_worker;
    grant select, insert, update on appeals, review_decisions to maitred_worker;
    -- what a moderator takes back
    grant delete on reviews to maitred_worker;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      for thing in
        select format('table %I', relname) from pg_class
        where relnamespace = 'public'::regnamespace
          and relname in ('desk_sessions', 'desk_people', 'audit_log', 'appeals', 'review_claims', 'review_decisions')
        union all select 'function ' || oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace
          and proname in ('review_rule', 'audit_rank', 'photos_to_review', 'claim_reviews', 'photo_before', 'decide_reviews',
            'undo_review', 'open_appeal', 'photos_by_key', 'photo_id_at', 'name_person', 'start_session', 'end_session', 'forget_objects',
            'grant_roles_before_desk')
      loop
        execute format('alter %s owner to maitred_migrator', thing);
      end loop;
    exception
      when insufficient_privilege then
        raise notice 'the tables of the desk stay with %: only an administrator may give them to maitred_migrator', current_user;
    end;
  end if;
end $$;
