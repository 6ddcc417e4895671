-- Up Migration

-- The roles are of the whole server, so another database may have made them already.
do $$
declare role_name text;
begin
  foreach role_name in array array['maitred_migrator', 'maitred_worker', 'maitred_dashboard'] loop
    begin
      execute format('create role %I nologin', role_name);
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        raise notice 'role % not made: ask an administrator for it, then run maitred migrate again', role_name;
    end;
  end loop;
end $$;

create table photos (
  id            bigint generated always as identity primary key,
  store         text not null check (store in ('s3', 'folder')),
  -- by their bytes, as a store lists them: a sweep and a look-up share the unique index, which is also quicker to compare
  bucket        text collate "C" not null,
  key           text collate "C" not null,
  version       text collate "C" not null default '',
  listing       text,
  uploader      text check (uploader in ('moderator', 'user')),
  claimed       text,
  state         text not null default 'pending' check (state in ('pending', 'shown', 'hidden', 'review', 'failed')),
  category      text,
  human         real,
  rule          text,
  reason        text,
  failure       text,
  decided_by    text,
  policy        text,
  lane          text not null default 'live' check (lane in ('live', 'backfill')),
  registered_at timestamptz not null default now(),
  decided_at    timestamptz,
  superseded_at timestamptz,
  unique (store, bucket, key, version),
  check ((state = 'failed') = (failure is not null)),
  check ((state = 'pending') = (decided_at is null))
);
comment on table photos is 'One row a photo: one version of one object, what is known of it, and its current state.';

-- A restaurant's photo tabs, newest first.
create index photos_public on photos (listing, category, id desc) where state = 'shown' and superseded_at is null;
create index photos_failed on photos (failure, id) where state = 'failed';
create index photos_pending on photos (registered_at) where state = 'pending';
create index photos_review on photos (id) where state = 'review' and superseded_at is null;
create index photos_decided on photos (decided_at);

create table tags (
  photo_id  bigint not null references photos on delete cascade,
  category  text not null,
  score     real not null,
  threshold real not null,
  model     text not null,
  primary key (photo_id, category)
);
comment on table tags is 'The categories that passed their threshold in the photo''s current verdict.';
create index tags_category on tags (category, photo_id desc);

create table verdicts (
  id         bigint generated always as identity primary key,
  photo_id   bigint not null references photos on delete cascade,
  verdict    text not null check (verdict in ('shown', 'hidden', 'review', 'failed')),
  rule       text not null,
  reason     text not null,
  category   text,
  human      real,
  scores     jsonb,
  decided_by text not null,
  policy     text,
  batch      text,
  decided_at timestamptz not null default now()
);
comment on table verdicts is 'Every verdict ever given, oldest first; rows are only added.';
create index verdicts_photo on verdicts (photo_id, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'verdicts are history: rows are only added' using errcode = 'MD409';
end $$;
create trigger verdicts_append_only before update on verdicts for each row execute function refuse_change();
