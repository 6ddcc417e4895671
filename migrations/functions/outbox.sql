-- Writes the outbox in the transaction that changes photos, whoever changes them: a model, a moderator, an event, a
-- hand. It tells of photos whose state, decision or place in the public changed, or what is known of them, as a listing often comes
-- after the verdict; once they have a verdict or failed, and of those that are pending again because it was taken back, also as these go or come back.
-- It runs after the whole statement, so that it sees the tags which the same statement wrote. Costs nothing but a look
-- at destinations while none is enabled. It is the owner's, so that nobody who changes photos needs a right to the outbox.
-- What a verdict says is compared too, as those of one moment have one time. Where the latest event of an object is a later one, those who tag objects
-- are told again of its photo that is known by its etag: an upload of the same bytes changes nothing of the photo, and takes the tags from its object.
create or replace function write_outbox() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare changed bigint[];
begin
  if not exists (select from destinations where enabled) then
    return null;
  end if;
  if tg_table_name = 'object_order' then
    perform tell(array[p.id], d.id)
    from photos p join destinations d on d.enabled and d.kind = 's3-tags' and coalesce(d.bucket, p.bucket) = p.bucket
    where (p.store, p.bucket, p.key) = (new.store, new.bucket, new.key) and p.superseded_at is null and p.version like 'etag:%'
      -- a first event mostly is of the upload that something else had told of
      and p.state <> 'pending' and (old.latest is not null or new.told > p.decided_at);
    return null;
  end if;
  -- "except" compares nulls too, and never becomes a loop within a loop, however many rows there are
  changed := array(
    select id from (
      select id, state, rule, reason, category, human, decided_by, decided_at, superseded_at, listing, uploader, claimed from after where state <> 'pending'
      except
      select id, state, rule, reason, category, human, decided_by, decided_at, superseded_at, listing, uploader, claimed from before) c
    union all
    (select id from after where state = 'pending' intersect select id from before where state <> 'pending')
    union all
    select id from (
      -- it has a reason where its verdict was taken back
      select id, superseded_at is null from after where state = 'pending' and reason is not null
      except
      select id, superseded_at is null from before) w);
  if cardinality(changed) > 0 then
    perform tell(changed);
  end if;
  return null;
end $$;

-- Writes what is now known of these photos, which the caller has locked, to the outbox for enabled destinations, or for
-- p_only alone; and notifies, unless p_only. Returns how many deliveries it wrote.
-- What a photo waits for is looked up by the photo: for the highest next_at all that waits for the destination was read, latest first, until the
-- table was analysed ("offset 0" keeps the planner from that), and all of the table with a plan that was made while it was small. It is never worth
-- to be compiled, though the planner thinks so: up to Postgres 17 what enable_seqscan = off leaves no way around costs 10,000,000,000 more, as a
-- table of one row does: 0.3 s of a core for each photo.
create or replace function tell(p_ids bigint[], p_only text default null) returns bigint language plpgsql set enable_seqscan = off set jit = off as $$
declare
  stored boolean;
  notified boolean;
  written bigint := 0;
begin
  -- who is being removed is waited for, and whoever removes one waits for us: what is written always has its destination
  select coalesce(bool_or(d.kind <> 'notify'), false), coalesce(bool_or(d.kind = 'notify' and p_only is null), false)
  into stored, notified from (
    select kind from destinations where enabled and (p_only is null or id = p_only) for key share) d;
  if not (stored or notified) then
    return 0;
  end if;

  with told as materialized (
    select nextval('outbox_seq') as seq, p.* from (select * from photos where id = any (p_ids) order by id) p
  ), written as (
    insert into outbox (seq, photo_id, kind, payload)
    select t.seq, t.id,
      case when t.superseded_at is not null or t.state = 'pending' then 'photo.withdrawn'
        when t.state = 'failed' then 'photo.failed' else 'photo.verdict' end,
      json_build_object(
        'id', t.id::text, 'sequence', t.seq, 'store', t.store, 'bucket', t.bucket, 'key', t.key, 'version', t.version,
        'current', t.superseded_at is null, 'public', t.superseded_at is null and t.state = 'shown',
        'state', t.state, 'verdict', case when t.state not in ('failed', 'pending') then t.state end, 'rule', t.rule, 'reason', t.reason,
        'failure', t.failure, 'category', t.category, 'human', t.human,
        'tags', coalesce((
          select json_agg(json_build_object('category', g.category, 'score', g.score, 'threshold', g.threshold,
            'by', g.model) order by g.score desc, g.category)
          from tags g where g.photo_id = t.id), '[]'),
        'by', t.decided_by, 'policy', t.policy, 'listing', t.listing, 'uploader', t.uploader, 'claimed', t.claimed,
        'decidedAt', t.decided_at)
    from told t where stored and exists (
      select from destinations d
      where d.enabled and d.kind <> 'notify' and (p_only is null or d.id = p_only) and coalesce(d.bucket, t.bucket) = t.bucket)
  ), addressed as (
    insert into deliveries (seq, destination, photo_id, next_at)
    -- due with what it waits for: while a receiver is down, whoever claims would look at all that waits behind
    select t.seq, d.id, t.id, greatest(now(), (
      select max(e.next_at) from (
        select e.next_at from deliveries e
        where e.destination = d.id and e.photo_id = t.id and e.state = 'pending'
          -- one that is being told may have ended before this is committed
          and (e.claimed_until is null or e.claimed_until <= now()) offset 0) e))
    from told t join destinations d
      on d.enabled and d.kind <> 'notify' and (p_only is null or d.id = p_only) and coalesce(d.bucket, t.bucket) = t.bucket
    where stored returning 1
  ), noted as (
    select count(pg_notify('maitred_photos', json_build_object('id', t.id::text, 'sequence', t.seq, 'state', t.state,
      'current', t.superseded_at is null, 'public', t.superseded_at is null and t.state = 'shown')::text)) as photos
    from told t
    where notified and exists (
      select from destinations d where d.enabled and d.kind = 'notify' and coalesce(d.bucket, t.bucket) = t.bucket)
  )
  -- noted is asked for, or it would not run
  select count(*) into written from addressed where (select photos from noted) >= 0;
  if stored then
    perform pg_notify('maitred_outbox', '');
  end if;
  return written;
end $$;

-- Tells one destination, a page at a time, what is known of photos that it was not told of: of the p_limit photos whose id
-- is above p_after, those that have a verdict or failed, or are pending again, and are current; with p_since those that changed,
-- were withdrawn or are current again since then, and whatever is pending again. What has been forgotten since then nobody knows any more.
-- Returns the last id it looked at, null at the end, and how many it tells of. Locks: the photos that it tells of.
-- MD404: there is no such webhook or s3-tags. MD409: it is not enabled.
create or replace function tell_again(p_destination text, p_since timestamptz, p_after bigint, p_limit integer)
returns table (last_id bigint, told bigint) language plpgsql as $$
declare
  d destinations;
  ids bigint[];
begin
  select * into d from destinations where id = p_destination and kind <> 'notify' for key share;
  if not found then
    raise exception 'there is no webhook or s3-tags destination %', p_destination using errcode = 'MD404';
  elsif not d.enabled then
    raise exception 'destination % is not enabled', p_destination using errcode = 'MD409';
  end if;
  select max(p.id) into last_id from (select id from photos where id > p_after order by id limit p_limit) p;
  if last_id is null then
    return;
  end if;
  ids := array(
    select p.id from photos p
    where p.id > p_after and p.id <= last_id and coalesce(d.bucket, p.bucket) = p.bucket
      -- a reason of one that is pending says why its verdict was taken back, which may be told twice: nothing says when
      and (p.state <> 'pending' or p.reason is not null)
      and case when p_since is null then p.superseded_at is null
        else p.state = 'pending' or greatest(p.decided_at, p.superseded_at, p.revived_at) >= p_since
          -- a verdict that stands again, because another was taken back, has its old time: history says when that was
          or exists (select from verdicts v where v.photo_id = p.id and v.decided_at >= p_since) end
    -- nobody changes them between the number that is taken and the commit
    order by p.id for share);
  told := tell(ids, p_destination);
  return next;
end $$;
