-- Up Migration

-- Who is told what became of photos.
create table destinations (
  id         text primary key,
  kind       text not null check (kind in ('webhook', 's3-tags', 'notify')),
  bucket     text,
  url        text,
  secret     text,
  old_secret text,
  old_until  timestamptz,
  enabled    boolean not null default true,
  changed_at timestamptz not null default now(),
  note       text not null default '',
  created_at timestamptz not null default now(),
  check ((kind = 'webhook') = (url is not null and secret is not null)),
  check ((old_secret is null) = (old_until is null))
);
comment on table destinations is 'Who is told what became of photos. It holds secrets that sign: grant nobody more of it than they need.';
comment on column destinations.bucket is 'Tells only of photos of this bucket; null: of all';
comment on column destinations.old_secret is 'Signs beside the other until old_until, while receivers change over';
comment on column destinations.changed_at is 'When it was last enabled or disabled';
comment on column destinations.note is 'Why it is not enabled, where maitred itself switched it off';

-- Which of two changes of one photo is the later: a number is taken while the photo's row is locked. Nothing is
-- cached, or a session would give out numbers that others have passed.
create sequence outbox_seq as bigint cache 1;

-- One row a change that somebody is to be told of. No reference to photos: that a photo is gone is told too.
create table outbox (
  seq        bigint primary key default nextval('outbox_seq'),
  photo_id   bigint not null,
  kind       text not null check (kind in ('photo.verdict', 'photo.failed', 'photo.withdrawn', 'photo.forgotten')),
  payload    json not null,
  created_at timestamptz not null default now()
);
comment on table outbox is 'What became of photos, as it was at that moment, for as long as somebody has yet to be told.';
create index outbox_photo on outbox (photo_id);

-- One row a change and destination.
create table deliveries (
  seq           bigint not null references outbox on delete cascade,
  destination   text not null references destinations on delete cascade,
  photo_id      bigint not null,
  state         text not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
  attempts      integer not null default 0,
  next_at       timestamptz not null default now(),
  claimed_until timestamptz,
  last_error    text,
  delivered_at  timestamptz,
  primary key (seq, destination),
  check ((state = 'delivered') = (delivered_at is not null))
);
comment on table deliveries is 'What has been, or is to be, told to whom.';
comment on column deliveries.next_at is 'When it is due, if no earlier one of the same photo and destination is pending; else when it was settled';
comment on column deliveries.claimed_until is 'A process is at it, and has it for itself until then';
create index deliveries_due on deliveries (destination, next_at, seq) where state = 'pending';
create index deliveries_order on deliveries (destination, photo_id, seq) where state = 'pending';
create index deliveries_dead on deliveries (next_at) where state = 'dead';
-- How many there are and which is the oldest, however many there are.
create index deliveries_open on deliveries (destination, state, seq) where state in ('pending', 'dead');
create index deliveries_delivered on deliveries (delivered_at) where state = 'delivered';

-- Writes what is now known of these photos, which the caller has locked, to the outbox for enabled destinations, or for
-- p_only alone; and notifies, unless p_only. Returns how many deliveries it wrote.
create function tell(p_ids bigint[], p_only text default null) returns bigint language plpgsql as $$
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
      select max(e.next_at) from deliveries e
      where e.destination = d.id and e.photo_id = t.id and e.state = 'pending'
        -- one that is being told may have ended before this is committed
        and (e.claimed_until is null or e.claimed_until <= now())))
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

-- Writes the outbox in the transaction that changes photos, whoever changes them: a model, a moderator, an event, a
-- hand. It tells of photos whose state, decision or place in the public changed, once they have a verdict or failed, and
-- of those that are pending again because it was taken back.
-- It runs after the whole statement, so that it sees the tags which the same statement wrote. Costs nothing but a look
-- at destinations while none is enabled. It is the owner's, so that nobody who changes photos needs a right to the outbox.
create function write_outbox() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare changed bigint[];
begin
  if not exists (select from destinations where enabled) then
    return null;
  end if;
  -- "except" compares nulls too, and never becomes a loop within a loop, however many rows there are
  changed := array(
    select id from (
      select id, state, decided_by, decided_at, superseded_at from after where state <> 'pending'
      except
      select id, state, decided_by, decided_at, superseded_at from before) c
    union all
    (select id from after where state = 'pending' intersect select id from before where state <> 'pending'));
  if cardinality(changed) > 0 then
    perform tell(changed);
  end if;
  return null;
end $$;

-- Tells one destination, a page at a time, what is known of photos that it was not told of: of the p_limit photos whose id
-- is above p_after, those that have a verdict or failed, or are pending again, and are current; with p_since those that
-- changed or were withdrawn since then, and whatever is pending again. What has been forgotten since then nobody knows any more.
-- Returns the last id it looked at, null at the end, and how many it tells of. Locks: the photos that it tells of.
-- MD404: there is no such webhook or s3-tags. MD409: it is not enabled.
create function tell_again(p_destination text, p_since timestamptz, p_after bigint, p_limit integer)
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
        else p.state = 'pending' or greatest(p.decided_at, p.superseded_at) >= p_since
          -- a verdict that stands again, because another was taken back, has its old time: history says when that was
          or exists (select from verdicts v where v.photo_id = p.id and v.decided_at >= p_since) end
    -- nobody changes them between the number that is taken and the commit
    order by p.id for share);
  told := tell(ids, p_destination);
  return next;
end $$;

-- Takes what the outbox says of photos that are deleted out of it, and tells that they are forgotten, with nothing but
-- what names them; of those that never had a verdict nothing was told, and nothing is. The version is for the tags of
-- objects alone, and is not sent. Those who may be being told something at this moment are told only once that has ended,
-- so that nothing of the photo comes after.
create function write_forgotten() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare ids bigint[] := array(select id from gone);
begin
  perform 1 from destinations where enabled for key share;
  with ended as (
    -- a delete waits for whoever is claiming, and then sees the claim
    delete from deliveries d using outbox o where o.photo_id = any (ids) and d.seq = o.seq
    returning d.photo_id, d.destination, d.claimed_until
  ), being_told as (
    select photo_id, destination, max(claimed_until) as until from ended where claimed_until > now() group by 1, 2
  ), forgotten as materialized (
    select nextval('outbox_seq') as seq, g.* from (select * from gone where state <> 'pending' or reason is not null order by id) g
  ), written as (
    insert into outbox (seq, photo_id, kind, payload)
    select f.seq, f.id, 'photo.forgotten', json_build_object('id', f.id::text, 'sequence', f.seq, 'store', f.store,
      'bucket', f.bucket, 'key', f.key, 'version', f.version)
    from forgotten f
    where exists (select from destinations d where d.enabled and d.kind <> 'notify' and coalesce(d.bucket, f.bucket) = f.bucket)
  )
  insert into deliveries (seq, destination, photo_id, next_at)
  select f.seq, d.id, f.id, coalesce(b.until, now())
  from forgotten f join destinations d on d.enabled and d.kind <> 'notify' and coalesce(d.bucket, f.bucket) = f.bucket
  left join being_told b on b.photo_id = f.id and b.destination = d.id;
  if found then
    perform pg_notify('maitred_outbox', '');
  end if;
  delete from outbox where photo_id = any (ids) and kind <> 'photo.forgotten';
  perform pg_notify('maitred_photos', json_build_object('id', g.id::text, 'forgotten', true)::text)
  from gone g where (g.state <> 'pending' or g.reason is not null) and exists (
    select from destinations d where d.enabled and d.kind = 'notify' and coalesce(d.bucket, g.bucket) = g.bucket);
  return null;
end $$;

-- A trigger of somebody else's table would otherwise write to the outbox with its owner's rights.
revoke execute on function write_outbox(), write_forgotten() from public;

-- Waits for the statements that are changing photos, and holds up new ones while it does; it reads no row of photos.
create trigger photos_outbox after update on photos
  referencing old table as before new table as after for each statement execute function write_outbox();
create trigger photos_forgotten after delete on photos
  referencing old table as gone for each statement execute function write_forgotten();

-- Claims what is due, at most p_each a destination less what p_busy says is in hand of it, and at most p_total, for
-- p_lease_s seconds. A change waits while an earlier one of its photo and destination is pending; a dead one is passed
-- over. A claim counts as an attempt, and its number tells it from a later claim.
-- Returns what is to be told, and to whom. Locks: what it claims; what a rival has locked it leaves alone.
create function claim_deliveries(p_busy jsonb, p_each integer, p_total integer, p_lease_s double precision)
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
create function settle_delivery(
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
create function purge_deliveries(p_days double precision, p_dead_days double precision, p_limit integer)
returns integer language plpgsql as $$
declare purged bigint[];
begin
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
create function remove_destination(p_id text) returns boolean language plpgsql as $$
declare untold bigint[];
begin
  perform 1 from destinations where id = p_id for update;
  with gone as (delete from deliveries where destination = p_id returning seq)
  select array_agg(seq) into untold from gone;
  delete from outbox o where o.seq = any (untold) and not exists (select from deliveries d where d.seq = o.seq);
  delete from destinations where id = p_id;
  return found;
end $$;

-- As before (migrations/0005_reviews.sql), but that the photo comes last: what is told of it then has its new tags.
create or replace function record_review(
  p_photo_id bigint, p_moderator text, p_verdict text, p_category text default null, p_human boolean default null,
  p_audit boolean default false, p_note text default null
) returns bigint language plpgsql as $$
declare
  by_whom text := 'moderator:' || p_moderator;
  why text := coalesce(p_note, 'decided by ' || p_moderator);
  verdict_id bigint;
begin
  if p_verdict is null or p_verdict not in ('shown', 'hidden') then
    raise exception 'expected the verdict shown or hidden, got %', p_verdict using errcode = '22023';
  end if;
  if coalesce(p_moderator, '') = '' then
    raise exception 'expected the name of the moderator' using errcode = '22023';
  end if;
  perform 1 from photos where id = p_photo_id for update;
  if not found then
    raise exception 'there is no photo %', p_photo_id using errcode = 'MD404';
  end if;

  insert into verdicts (photo_id, verdict, rule, reason, category, decided_by)
  values (p_photo_id, p_verdict, 'moderator', why, p_category, by_whom)
  returning id into verdict_id;
  insert into reviews (verdict_id, photo_id, category, human, audit)
  values (verdict_id, p_photo_id, p_category, p_human, coalesce(p_audit, false));
  if p_category is not null then
    delete from tags where photo_id = p_photo_id and category <> p_category;
    -- a person is sure: the score is 1, and no threshold was asked
    insert into tags as t (photo_id, category, score, threshold, model) values (p_photo_id, p_category, 1, 0, by_whom)
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model;
  end if;
  update photos
  set state = p_verdict, category = coalesce(p_category, category), rule = 'moderator', reason = why, failure = null,
      decided_by = by_whom, policy = null, decided_at = now()
  where id = p_photo_id;
  return verdict_id;
end $$;

-- What grant_roles gave until now, and then what is new here; it is called by the same name. Workers deliver; who is
-- told, and with which secret, an administrator says.
alter function grant_roles(text) rename to grant_roles_before_outbox;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
begin
  perform grant_roles_before_outbox(p_queue_schema);
  if to_regrole('maitred_worker') is not null then
    grant select, update (enabled, changed_at, note) on destinations to maitred_worker;
    grant select, update, delete on outbox, deliveries to maitred_worker;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      alter table destinations owner to maitred_migrator;
      alter table outbox owner to maitred_migrator;
      alter table deliveries owner to maitred_migrator;
      alter sequence outbox_seq owner to maitred_migrator;
      alter function tell(bigint[], text) owner to maitred_migrator;
      alter function write_outbox() owner to maitred_migrator;
      alter function tell_again(text, timestamptz, bigint, integer) owner to maitred_migrator;
      alter function write_forgotten() owner to maitred_migrator;
      alter function claim_deliveries(jsonb, integer, integer, double precision) owner to maitred_migrator;
      alter function settle_delivery(bigint, text, integer, text, text, double precision) owner to maitred_migrator;
      alter function purge_deliveries(double precision, double precision, integer) owner to maitred_migrator;
      alter function remove_destination(text) owner to maitred_migrator;
      alter function grant_roles_before_outbox(text) owner to maitred_migrator;
    exception
      when insufficient_privilege then
        raise notice 'the outbox stays with %: only an administrator may give it to maitred_migrator', current_user;
    end;
  end if;
end $$;
