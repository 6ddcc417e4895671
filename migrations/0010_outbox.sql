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

-- What it does is in functions/outbox.sql.
create function write_outbox() returns trigger language plpgsql as $$ begin raise 'maitred migrate has not ended'; end $$;

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
