-- Up Migration

-- As before (migrations/0008_outbox.sql), but one at a time: of two that purged the deliveries of one change to two destinations, each
-- saw the other's still, and nobody deleted the change.
create or replace function purge_deliveries(p_days double precision, p_dead_days double precision, p_limit integer)
returns integer language plpgsql as $$
declare purged bigint[];
begin
  perform pg_advisory_xact_lock(hashtext('maitred purge_deliveries'));
  with told as (
    select d.seq, d.destination from deliveries d
    where d.state = 'delivered' and d.delivered_at < now() - make_interval(secs => p_days * 86400)
    order by d.delivered_at limit p_limit for update skip locked
  ), dead as (
    select d.seq, d.destination from deliveries d
    where d.state = 'dead' and d.next_at < now() - make_interval(secs => p_dead_days * 86400)
    order by d.next_at limit p_limit for update skip locked
  ), old as (
    select * from told union all select * from dead
  ), gone as (
    delete from deliveries d using old where (d.seq, d.destination) = (old.seq, old.destination) returning d.seq
  )
  select array_agg(seq) into purged from gone;
  delete from outbox o where o.seq = any (purged) and not exists (select from deliveries d where d.seq = o.seq);
  return coalesce(cardinality(purged), 0);
end $$;

delete from outbox o where not exists (select from deliveries d where d.seq = o.seq)
  and o.created_at < now() - interval '1 day';
