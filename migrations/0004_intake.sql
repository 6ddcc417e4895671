-- Up Migration

-- What is remembered of every object that an event spoke of, so that an older event never undoes a newer one.
create table object_order (
  store     text not null,
  bucket    text collate "C" not null,
  key       text collate "C" not null,
  version   text collate "C" not null default '',
  latest    text,
  removed   boolean not null default false,
  told      timestamptz,
  primary key (store, bucket, key, version)
);
comment on column object_order.latest is 'The highest order seen; null where no event had one';

-- What is committed here and not yet in a queue; empty but for a moment, unless a queue was away.
create table unqueued (
  photo_id bigint primary key references photos on delete cascade,
  since    timestamptz not null default now()
);
comment on table unqueued is 'Photos that an event made known and that no queue is known to hold.';
