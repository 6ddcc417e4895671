-- Up Migration

-- Makes photos known; one element of each array a photo, in order. A photo already known is left as it is,
-- except that what was not known of it is filled in. The version that is registered is the current one, also when
-- it is an old one that came back; it supersedes the others of its object, which are thereby no longer public.
-- Returns, in order: the id, the state, and whether this call made the row. Locks: rows of the same object.
create function register_photos(
  p_store text[], p_bucket text[], p_key text[], p_version text[],
  p_listing text[], p_uploader text[], p_claimed text[], p_lane text
) returns table (id bigint, state text, fresh boolean) language plpgsql as $$
begin
  -- "do update", not "do nothing": it locks the row, so a rival's uncommitted one is waited for and returned
  return query
  with input as (
    select * from unnest(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed)
      with ordinality as u (store, bucket, key, version, listing, uploader, claimed, n)
  ), one_each as (
    select distinct on (store, bucket, key, version) * from input order by store, bucket, key, version, n
  ), written as (
    insert into photos as p (store, bucket, key, version, listing, uploader, claimed, lane)
    select o.store, o.bucket, o.key, o.version, o.listing, o.uploader, o.claimed, p_lane
    from one_each o order by o.store, o.bucket, o.key, o.version
    on conflict on constraint photos_store_bucket_key_version_key do update
      set superseded_at = null,
          listing = coalesce(p.listing, excluded.listing),
          uploader = coalesce(p.uploader, excluded.uploader),
          claimed = coalesce(p.claimed, excluded.claimed)
    returning p.id, p.state, p.store, p.bucket, p.key, p.version, (p.xmax = 0) as fresh
  ), superseded as (
    update photos p set superseded_at = now()
    from written w
    where p.superseded_at is null
      and (p.store, p.bucket, p.key) = (w.store, w.bucket, w.key) and p.version <> w.version
      and not exists (select from one_each o where (o.store, o.bucket, o.key, o.version) = (p.store, p.bucket, p.key, p.version))
  )
  select w.id, w.state, w.fresh
  from input i join written w using (store, bucket, key, version)
  order by i.n;
end $$;

-- Commits a group of verdicts and failures: state, tags and history in one statement of one transaction.
-- p_items: a JSON array of {id, verdict, rule, reason, category, human, scores, tags, by, policy, batch, known,
-- failure, transient}. For verdict 'failed', failure is the code.
-- Returns one row a photo that exists, with changed = false where nothing was to be done:
--   the same model and policy had already decided it (a replayed job, or two workers on one photo);
--   a moderator had decided it;
--   it had already failed with this code; or a transient failure would have undone an earlier verdict.
-- A photo that no longer exists has no row. Locks: the photos, in the order of their ids, so that two groups
-- never wait for each other in a circle.
create function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
begin
  -- a statement of its own, so that the next one sees what a rival committed while this one waited
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;

  return query
  with input as (
    select distinct on (i.id) i.*
    from jsonb_to_recordset(p_items) as i (
      id bigint, verdict text, rule text, reason text, category text, human real, scores jsonb, tags jsonb,
      by text, policy text, batch text, known jsonb, failure text, transient boolean)
    order by i.id
  ), wanted as materialized (
    select input.*, case
        when locked.decided_by like 'moderator:%' then false
        when input.verdict = 'failed' then
          case when locked.state = 'failed' then locked.failure is distinct from input.failure
               else locked.state = 'pending' or not input.transient end
        else locked.state in ('pending', 'failed')
          or locked.decided_by is distinct from input.by or locked.policy is distinct from input.policy
      end as changes
    from input join photos locked on locked.id = input.id
  ), state as (
    update photos p
    set state = w.verdict, category = w.category, human = w.human, rule = w.rule, reason = w.reason,
        failure = w.failure, decided_by = w.by, policy = w.policy, decided_at = now(),
        listing = coalesce(p.listing, w.known ->> 'listing'),
        uploader = coalesce(p.uploader, w.known ->> 'uploader'),
        claimed = coalesce(p.claimed, w.known ->> 'claimed')
    from wanted w where p.id = w.id and w.changes
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch)
    select w.id, w.verdict, w.rule, w.reason, w.category, w.human, w.scores, w.by, w.policy, w.batch
    from wanted w where w.changes
  ), given as (
    select w.id, t.category, t.score, t.threshold, w.by
    from wanted w, jsonb_to_recordset(coalesce(w.tags, '[]')) as t (category text, score real, threshold real)
    where w.changes
  ), taken as (
    delete from tags t using wanted w
    where w.changes and t.photo_id = w.id
      and not exists (select from given g where g.id = t.photo_id and g.category = t.category)
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select g.id, g.category, g.score, g.threshold, g.by from given g
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  )
  select w.id, w.changes from wanted w;
end $$;
