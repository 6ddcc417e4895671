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
-- hand. It tells of photos whose state, decision or place in the public changed, or what is known of them, as a listing often comes
-- after the verdict; once they have a verdict or failed, and of those that are pending again because it was taken back.
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
      select id, state, decided_by, decided_at, superseded_at, listing, uploader, claimed from after where state <> 'pending'
      except
      select id, state, decided_by, decided_at, superseded_at, listing, uploader, claimed from before) c
    union all
    (select id from after where state = 'pending' intersect select id from before where state <> 'pending'));
  if cardinality(changed) > 0 then
    perform tell(changed);
  end if;
  return null;
end $$;

-- Tells one destination, a page at a time, what is known of photos that it was not told of: of the p_limit photos whose id
-- is above p_after, those that have a verdict or failed, or are pending again, and are current; with p_since those that changed,
-- were withdrawn or are current again since then, and whatever is pending again. What has been forgotten since then nobody knows any more.
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
        else p.state = 'pending' or greatest(p.decided_at, p.superseded_at, p.revived_at) >= p_since
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

create trigger photos_outbox after update on photos
  referencing old table as before new table as after for each statement execute function write_outbox();
create trigger photos_forgotten after delete on photos
  referencing old table as gone for each statement execute function write_forgotten();
