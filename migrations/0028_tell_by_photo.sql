-- Up Migration

-- As in 0010_outbox.sql, but that what a photo waits for is looked up by the photo: for the highest next_at all that waits for the destination
-- was read, latest first, until the table was analysed ("offset 0" keeps the planner from that), and all of the table with a plan that was
-- made while it was small.
create or replace function tell(p_ids bigint[], p_only text default null) returns bigint language plpgsql set enable_seqscan = off as $$
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
