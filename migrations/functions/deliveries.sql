-- Claims what is due, at most p_each a destination less what p_busy says is in hand of it, and at most p_total, for
-- p_lease_s seconds. A change waits while an earlier one of its photo and destination is pending; a dead one is passed
-- over. A claim counts as an attempt, and its number tells it from a later claim.
-- Returns what is to be told, and to whom. Locks: what it claims; what a rival has locked it leaves alone.
create or replace function claim_deliveries(p_busy jsonb, p_each integer, p_total integer, p_lease_s double precision)
returns table (
  seq bigint, destination text, kind text, url text, secrets text[], photo_id bigint, change text, payload json,
  created_at timestamptz, attempt integer
) language plpgsql set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
  t record;
  taken integer;
  room integer := p_total;
begin
  for t in select * from destinations d where d.enabled and d.kind <> 'notify' order by random() loop
    return query
    with due as materialized (
      select d.seq from deliveries d
      where d.destination = t.id and d.state = 'pending' and d.next_at <= now()
        -- written so that it is asked of each row as it comes, and not of all that wait
        and d.seq = (
          select min(e.seq) from deliveries e
          where e.destination = t.id and e.photo_id = d.photo_id and e.state = 'pending')
      order by d.next_at, d.seq limit greatest(0, least(room, p_each - coalesce((p_busy ->> t.id)::integer, 0)))
      for update skip locked
    ), claimed as (
      update deliveries d
      set attempts = d.attempts + 1, claimed_until = now() + make_interval(secs => p_lease_s),
          next_at = now() + make_interval(secs => p_lease_s)
      from due where d.seq = due.seq and d.destination = t.id
      returning d.seq, d.attempts
    )
    select c.seq, t.id, t.kind, t.url, array_remove(array[t.secret, case when t.old_until > now() then t.old_secret end], null),
      o.photo_id, o.kind, o.payload, o.created_at, c.attempts
    from claimed c join outbox o on o.seq = c.seq order by c.seq;
    get diagnostics taken = row_count;
    room := room - taken;
  end loop;
end $$;

-- Says how attempt number p_attempt ended: 'delivered', 'pending' (again in p_wait_s seconds) or 'dead'. Nothing is
-- done where it is not pending any more, or for a failure where a later attempt has begun. What waits behind it waits as
-- long, or until it is delivered. A photo.forgotten that everybody was told of goes at once. Locks: the row, what waits
-- behind it, and of a photo.forgotten its change.
create or replace function settle_delivery(
  p_seq bigint, p_destination text, p_attempt integer, p_state text, p_error text, p_wait_s double precision
) returns void language plpgsql as $$
declare v_photo bigint;
begin
  update deliveries d
  set state = p_state, claimed_until = null, last_error = p_error,
      next_at = case when p_state = 'pending' then now() + make_interval(secs => p_wait_s) else now() end,
      delivered_at = case when p_state = 'delivered' then now() end
  where (d.seq, d.destination) = (p_seq, p_destination) and d.state = 'pending'
    and (p_state = 'delivered' or d.attempts = p_attempt)
  returning d.photo_id into v_photo;
  if not found then
    return;
  end if;
  if p_state = 'pending' then
    update deliveries d set next_at = now() + make_interval(secs => p_wait_s)
    where d.destination = p_destination and d.photo_id = v_photo and d.seq > p_seq and d.state = 'pending'
      and d.next_at < now() + make_interval(secs => p_wait_s);
  elsif p_state = 'delivered' then
    update deliveries d set next_at = now()
    where d.destination = p_destination and d.photo_id = v_photo and d.state = 'pending' and d.next_at > now()
      and (d.claimed_until is null or d.claimed_until <= now());
    perform 1 from outbox where seq = p_seq and kind = 'photo.forgotten' for update;
    if found and not exists (select from deliveries where seq = p_seq and state <> 'delivered') then
      delete from outbox where seq = p_seq;
    end if;
  end if;
end $$;

-- Deletes at most p_limit deliveries that were made more than p_days days ago, and as many that have been dead for more
-- than p_dead_days, and of the changes those that nobody has yet to be told of. Returns how many deliveries it deleted.
-- One at a time: of two that purged the deliveries of one change to two destinations, each would see the other's still, and nobody
-- would delete the change.
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

-- Forgets a destination and all that it was to be told. Returns whether there was one. Locks: the destination, which
-- waits for those who are writing to the outbox.
create or replace function remove_destination(p_id text) returns boolean language plpgsql as $$
declare untold bigint[];
begin
  perform 1 from destinations where id = p_id for update;
  with gone as (delete from deliveries where destination = p_id returning seq)
  select array_agg(seq) into untold from gone;
  delete from outbox o where o.seq = any (untold) and not exists (select from deliveries d where d.seq = o.seq);
  delete from destinations where id = p_id;
  return found;
end $$;
