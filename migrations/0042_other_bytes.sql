-- Up Migration

-- As in 0039_same_etag.sql, but that most failures have the digest of their bytes, also where these had killed a worker.
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
    cross join lateral (select bytes_of(p.id) as bytes offset 0) b
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
        -- the digest of a rendition says nothing of the photo
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
