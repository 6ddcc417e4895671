-- Up Migration

-- A statement that changes no row fires the triggers of its table all the same: a first upload, of which nothing is withdrawn and nothing to be
-- looked at, spent a third of its time on these.

-- As in 0039_same_etag.sql.
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

-- As in 0004_intake.sql.
create or replace function withdraw_photos(p_store text, p_bucket text, p_key text, p_version text, p_keep bigint)
returns bigint language plpgsql as $$
declare gone bigint[];
begin
  select array_agg(p.id) into gone from photos p
  where (p.store, p.bucket, p.key) = (p_store, p_bucket, p_key) and p.superseded_at is null
    and (p_version in ('', p.version) or (p_version = 'null' and has_no_id(p.version))) and p.id is distinct from p_keep;
  if gone is not null then
    update photos p set superseded_at = now() where p.id = any (gone);
    delete from unqueued u where u.photo_id = any (gone);
  end if;
  return (select max(id) from unnest(gone) id);
end $$;
