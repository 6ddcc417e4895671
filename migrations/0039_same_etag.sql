-- Up Migration

-- An etag is the MD5 of what was uploaded, and two photos can be made that share it. A worker looks at what lies there where a later upload has the
-- etag of what was judged already: one of a later order, or one that is told of after the verdict. Also where the photo is not shown, as a
-- moderator may show what they see there.
create function look_at_upload() returns trigger language plpgsql as $$
declare judged bigint[];
begin
  select array_agg(p.id) into judged from photos p
  where (p.store, p.bucket, p.key) = (new.store, new.bucket, new.key) and p.superseded_at is null and p.version like 'etag:%'
    and p.state in ('shown', 'hidden', 'review')
    -- a first event mostly is of the upload that something else had told of
    and ((old.latest is not null and new.latest is distinct from old.latest) or new.told > p.decided_at);
  update photos p set lane = 'live' where p.id = any (judged) and p.lane <> 'live';
  insert into unqueued (photo_id) select unnest(judged) on conflict do nothing;
  return null;
end $$;
create trigger object_order_look after update of latest, told on object_order for each row
  when (new.version = '' and not new.removed and (new.latest is distinct from old.latest or new.told is distinct from old.told))
  execute function look_at_upload();

-- As in 0023_bytes_of_reviews.sql, of the verdicts up to p_as_of.
drop function bytes_of(bigint);
create function bytes_of(p_photo_id bigint, p_as_of bigint default 9223372036854775807) returns bytea stable language sql as $$
  select d.digest
  from photos p join verdicts v on v.photo_id = p.id
  cross join lateral (
    select coalesce(v.digest, (
      select o.digest from verdicts o
      where v.batch like 'same-%' and o.photo_id = substr(v.batch, 6)::bigint and o.digest is not null
        and o.decided_by = v.decided_by and (o.scores, o.human) is not distinct from (v.scores, v.human)
      order by o.id desc limit 1)) as digest
  ) d
  where p.id = p_photo_id and v.id <= p_as_of and v.decided_by like 'model:%' and v.scores is not null
    -- nobody read the photo for what was decided from stored scores, or brought back
    and v.batch is not null and v.batch not like 'policy-%' and v.batch not like 'rollback-%'
    and (d.digest is not null or p.version = '')
    and (p.version <> '' or p.revived_at is null or v.decided_at >= p.revived_at)
  order by p.version <> '' and v.rendition is true, v.id desc limit 1
$$;

-- What these items say of other bytes than were judged before, of photos that are known by their etag or by size and time of their file, so that
-- of two photos that share these the one counts that is not to be shown:
--   - what is shown, and would not be with these bytes, is pending from here on, also where a moderator had shown the others;
--   - of the rest history says which bytes it is of now: bytes_of is what a moderator sees who shows or hides it.
-- Nothing is known of bytes without a digest, as some failures have none. But known bytes that a model could read and a moderator showed, and what is
-- refused without one now that an upload or a touched file had it looked at, are taken for two photos; what a backfill is refused says nothing. Its
-- caller has locked the photos. Each is looked up by itself, whatever the planner knows of the tables.
create function forget_other_bytes(p_items jsonb) returns void language plpgsql as $$
declare ids bigint[];
begin
  with other as materialized (
    select i.*, coalesce(i.digest, i."copyOf") as bytes, p.state, p.decided_by, p.policy as decided_policy
    from (
      -- of one that is there twice, the one that counts
      select distinct on (r.id) r.* from jsonb_to_recordset(p_items) as r (
        id bigint, verdict text, category text, human real, scores jsonb, by text, policy text, batch text, digest bytea, "copyOf" bytea,
        rendition boolean, stored boolean, fed boolean, backfill bigint, failure text, transient boolean, refused bytea)
      order by r.id, r.fed is true, r.rendition is true) i
    cross join lateral (select * from photos where id = i.id offset 0) p
    where i.stored is not true and i.rendition is not true
      and (p.version like 'etag:%' or p.store = 'folder') and p.state in ('shown', 'hidden', 'review')
      and case when i.verdict = 'failed' then
        p.state = 'shown' and p.decided_by like 'moderator:%' and i.fed is not true and i.backfill is null
        and not i.transient and i.failure <> 'GONE' and bytes_of(p.id) is not null and i.refused is distinct from bytes_of(p.id)
        -- what a moderator showed although it had failed stays
        and (select v.scores is not null and v.rendition is not true from verdicts v
          where v.photo_id = p.id and v.decided_by like 'model:%' order by v.id desc limit 1)
      else
        -- what is only proposed changes nothing, nor what commit_verdicts leaves to a later try of its run: see record_verdicts
        case
          when i.backfill is not null then not (select b.propose from backfills b where b.id = i.backfill)
          when i.fed then exists (
            select from backfill_photos w join backfills b on b.id = w.backfill_id
            where w.photo_id = p.id and not b.propose and (settles(i.by, b.model) or b.state = 'cancelled') offset 0)
          else true end
        and bytes_of(p.id) <> coalesce(i.digest, i."copyOf")
        -- the digest of a rendition says nothing of the photo
        and exists (
          select from verdicts v
          where v.photo_id = p.id and v.scores is not null and v.rendition is not true and v.batch is not null offset 0)
      end
  ), noted as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, digest)
    select o.id, o.state, 'uploaded-again', 'other bytes took the place of those that were judged, and it stays as it is',
      o.category, o.human, o.scores, o.by, o.policy, o.batch, o.bytes
    from other o
    where (o.state <> 'shown' or o.verdict = 'shown')
      -- of others commit_verdicts writes what was said
      and (o.decided_by like 'moderator:%' or (o.decided_by, o.decided_policy) = (o.by, o.policy))
    order by o.id
  )
  select array_agg(o.id) into ids from other o where o.state = 'shown' and o.verdict <> 'shown';
  if ids is null then
    return;
  end if;
  delete from tags t where t.photo_id = any (ids);
  update photos p
  set state = 'pending', category = null, human = null, rule = 'uploaded-again', reason = 'other bytes took the place of those that were judged',
      failure = null, decided_by = null, policy = null, decided_at = null
  where p.id = any (ids);
end $$;

-- Photos of folders alone have it. It is not in history, of which a row a look would be many where a backup touches all files every night.
alter table photos add column if not exists looked_at timestamptz;
comment on column photos.looked_at is 'When its file was last read and nothing changed; null: not since the verdict';

-- As in 0033_model_of_a_run.sql, with what is above.
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

-- As in 0031_review_passes.sql, but withdrawn also where the photo would be shown, and other bytes were judged as it since asOf.
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
