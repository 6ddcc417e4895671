-- Up Migration

-- A pass is of the verdict that was looked at: once there is another, it counts for nothing. It changes nothing of the photo.
create table review_passes (
  id         uuid primary key,
  photo_id   bigint not null references photos on delete cascade,
  who        text not null,
  verdict_id bigint not null,
  kind       text,
  passed_at  timestamptz not null default now(),
  undone_at  timestamptz
);
comment on table review_passes is 'Who was not sure of a photo, and left it to another moderator, under an id that the page made.';
comment on column review_passes.verdict_id is 'The verdict that the photo had, 0 for none; a pass counts until there is another';
comment on column review_passes.kind is 'Why the photo was asked about; null where the moderator did not hold it any more';
create index review_passes_photo on review_passes (photo_id);
create index review_passes_who on review_passes (who, passed_at);

-- Passes that count: there is no other verdict since, and no appeal.
create function standing_passes() returns setof review_passes language sql stable as $$
  select * from review_passes s
  where s.undone_at is null
    and not exists (select from verdicts v where v.photo_id = s.photo_id and v.id > s.verdict_id)
    and not exists (select from appeals a where a.photo_id = s.photo_id and a.answered_at is null and a.at > s.passed_at)
$$;

-- As in 0008_claims.sql, but without what the moderator passed within a day. After that it comes again, as where nobody else is there.
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

-- As it was, which is left to do for what is no pass.
alter function commit_decisions(text, jsonb) rename to commit_shown_or_hidden;
alter function undo_review(text, uuid, double precision, text) rename to undo_decision;

-- Records one decision, as commit_shown_or_hidden does, or with the verdict 'unsure' a pass: the photo stays as it is, and what the
-- moderator holds of it is given back. It does not matter who holds or decided it meanwhile. Of a pass the outcome is
--   done     it is recorded
--   known    it was here before, and counts
--   clash    the id was used for something else
--   changed  it was here before, and this moderator took it back
--   gone     there is no such photo
-- Locks: those of decide_reviews, which calls it.
create function commit_decisions(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  item jsonb := p_items -> 0;
  photo bigint := item ->> 'photo';
  known review_passes;
  asked text;
begin
  select * into known from review_passes s where s.id = (item ->> 'id')::uuid;
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

-- Takes back a decision, as undo_decision does, or a pass: the photo is claimed again, for this page of the moderator, unless it is held.
-- One that has another verdict since is not.
-- Locks: as undo_decision, or the photo, and then its claim.
create function undo_review(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
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

-- As in 0018_forget.sql, and of passes too.
create or replace function forget_objects(p_objects jsonb, p_by text) returns table (what text, count bigint) language plpgsql as $$
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

  delete from review_passes s where s.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('review_passes', gone);

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

  -- a backfill or a sweep that stands at this very key begins anew; one that was of it alone, and has ended, does not name it any more
  update backfills b
  set cursor = null,
      what = case when b.ended_at is not null and b.what ->> 'prefix' = i.key then b.what || '{"prefix": "(forgotten)"}' else b.what end
  from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text)
  where i.store = 's3' and b.what ->> 'bucket' = i.bucket
    and (b.cursor ->> 'after' = i.key or b.ended_at is not null and b.what ->> 'prefix' = i.key);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfills', gone);

  update sweeps s set cursor = '', prefix = case when s.state <> 'running' and s.prefix = i.key then '(forgotten)' else s.prefix end
  from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text)
  where i.store = 's3' and s.bucket = i.bucket and (s.cursor = i.key or s.state <> 'running' and s.prefix = i.key);
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
