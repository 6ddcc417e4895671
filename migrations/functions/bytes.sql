-- SHA-256 of the bytes that a model judged last as this photo, in verdicts up to p_as_of; where the version says which bytes it has, the last that are known,
-- and those of the original rather than of a rendition. Null where nobody knows. A verdict that took the scores of another photo
-- over says of which.
create or replace function bytes_of(p_photo_id bigint, p_as_of bigint default 9223372036854775807) returns bytea stable language sql as $$
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

-- An etag is the MD5 of what was uploaded, and two photos can be made that share it. A worker looks at what lies there where a later upload has the
-- etag of what was judged already: one of a later order, or one that is told of after the verdict. Also where the photo is not shown, as a
-- moderator may show what they see there.
create or replace function look_at_upload() returns trigger language plpgsql as $$
declare judged bigint[];
begin
  select array_agg(p.id) into judged from photos p
  where (p.store, p.bucket, p.key) = (new.store, new.bucket, new.key) and p.superseded_at is null and p.version like 'etag:%'
    and p.state in ('shown', 'hidden', 'review')
    -- a first event mostly is of the upload that something else had told of
    and ((old.latest is not null and new.latest is distinct from old.latest) or new.told > p.decided_at);
  if judged is not null then
    update photos p set lane = 'live' where p.id = any (judged) and p.lane <> 'live';
    insert into unqueued (photo_id) select unnest(judged) on conflict do nothing;
  end if;
  return null;
end $$;

-- Of withdrawn photos that are about to be current again, and of which nothing but the key says which bytes they are: no verdict stands
-- or failure any more, nothing is proposed, and no moderator holds them. Before they are current, so that nobody is shown or told what was
-- said of other bytes. What a moderator had hidden stays hidden, which history says anew. Its caller has locked them.
create or replace function forget_bytes(p_ids bigint[]) returns void language plpgsql as $$
declare
  ids bigint[] := array(select id from photos where id = any (p_ids) and version = '');
  judged bigint[] := array(
    select id from photos
    where id = any (ids) and state <> 'pending' and not (state = 'hidden' and decided_by like 'moderator:%'));
begin
  if ids = '{}' then
    return;
  end if;
  delete from proposals where photo_id = any (ids);
  delete from review_claims where photo_id = any (ids);
  update photos set revived_at = clock_timestamp() where id = any (ids);
  insert into verdicts (photo_id, verdict, rule, reason, category, decided_by, decided_at)
  select id, state, 'uploaded-again', 'uploaded again after it was removed, and hidden as before', category, decided_by, clock_timestamp()
  from photos where id = any (ids) and state = 'hidden' and decided_by like 'moderator:%';
  delete from tags where photo_id = any (judged);
  update photos
  set state = 'pending', category = null, human = null, rule = 'uploaded-again',
      reason = 'uploaded again after it was removed: its bytes may be others', failure = null, decided_by = null, policy = null, decided_at = null,
      lane = 'live'
  where id = any (judged);
end $$;

-- What these items say of other bytes than were judged before, of photos that are known by their etag or by size and time of their file, so that
-- of two photos that share these the one counts that is not to be shown:
--   - what is shown, and would not be with these bytes, is pending from here on, also where a moderator had shown the others;
--   - of the rest history says which bytes it is of now: bytes_of is what a moderator sees who shows or hides it.
-- A failure of other bytes counts whatever it is, also one that may pass, as nobody could look at them. Where the digest of either is not known, known
-- bytes that a model could read and a moderator showed, and what is refused now that an upload or a touched file had it looked at, are taken for two
-- photos, and so is what a model showed and what kills workers now, or the same model would not show; of what a backfill is refused nothing is known
-- then. Its caller has locked the photos. Each is looked up by itself, whatever the planner knows of the tables.
create or replace function forget_other_bytes(p_items jsonb) returns void language plpgsql as $$
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
    cross join lateral (
      -- the digest of a rendition says nothing of the photo, also where that of the photo is not known
      select case when exists (
        select from verdicts v
        where v.photo_id = p.id and v.scores is not null and v.rendition is not true and v.batch is not null
          and (v.digest is not null or v.batch like 'same-%') offset 0) then bytes_of(p.id) end as bytes offset 0) b
    where i.stored is not true and i.rendition is not true
      and (p.version like 'etag:%' or p.store = 'folder') and p.state in ('shown', 'hidden', 'review')
      and case when i.verdict = 'failed' and (i.refused is null or b.bytes is null) then
        i.fed is not true and i.backfill is null and i.failure <> 'GONE' and (not i.transient or i.failure = 'WORKER_CRASHED')
        and (b.bytes is not null or i.transient and p.decided_by like 'model:%')
      else
        -- what is only proposed changes nothing, nor what commit_verdicts leaves to a later try of its run: see record_verdicts
        case
          when i.backfill is not null then not (select b.propose from backfills b where b.id = i.backfill)
          when i.fed then exists (
            select from backfill_photos w join backfills b on b.id = w.backfill_id
            where w.photo_id = p.id and not b.propose and (settles(i.by, b.model) or b.state = 'cancelled') offset 0)
          else true end
        and case when b.bytes is not null then b.bytes <> coalesce(i.digest, i."copyOf", i.refused)
          else p.decided_by = i.by and p.policy = i.policy and i.fed is not true and i.backfill is null and p.state = 'shown' and i.verdict <> 'shown' end
        and exists (
          select from verdicts v
          where v.photo_id = p.id and v.scores is not null and v.rendition is not true and v.batch is not null offset 0)
      end
      and case when i.verdict = 'failed' then
        p.state = 'shown' and (p.decided_by like 'moderator:%' or i.transient)
        -- what a moderator showed although it had failed stays
        and (select v.scores is not null and v.rendition is not true from verdicts v
          where v.photo_id = p.id and v.decided_by like 'model:%' order by v.id desc limit 1)
      else true end
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
