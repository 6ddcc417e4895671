-- Up Migration

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
  revived_at    timestamptz,
  -- the listing is that of the photo that this one took the place of, as it was told none of its own: what its object says counts more
  inherited     boolean,
  unique (store, bucket, key, version),
  check ((state = 'failed') = (failure is not null)),
  check ((state = 'pending') = (decided_at is null))
) with (
  -- vacuum and analyze by what changed in millions, not in fifths of a table: on 500 million rows a fifth is 100 million. These
  -- wait for no reader or writer
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
  -- A verdict finds room on the page of its photo, and a tag on the page of the one that it replaces. In a page that is full they
  -- leave a gap of one row, and new rows would go into these gaps, each on a page of its own that has to be read and logged whole.
  fillfactor = 90
);
comment on table photos is 'One row a photo: one version of one object, what is known of it, and its current state.';
comment on column photos.revived_at is 'When it was last current again after it had been withdrawn; null: never';
-- The others are in src/store/indexes.ts.
create index photos_failed on photos (failure, id) where state = 'failed';
create index photos_review on photos (id) where state = 'review' and superseded_at is null;

create table tags (
  photo_id  bigint not null references photos on delete cascade,
  category  text not null,
  score     real not null,
  threshold real not null,
  model     text not null,
  primary key (photo_id, category)
) with (
  -- as of photos
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
  fillfactor = 90
);
comment on table tags is 'The categories that passed their threshold in the photo''s current verdict.';
create index tags_category on tags (category, photo_id desc);

-- Not a security barrier: that would keep the index from giving the order. What is not public is no secret from the
-- dashboard role, which sees it in photo_tags.
create view public_photos as
  select id as photo_id, listing, category, store, bucket, key, version, uploader, decided_at as shown_since, registered_at
  from photos where state = 'shown' and superseded_at is null;
comment on view public_photos is 'Only what may be shown. The food photos of listing 42, newest first: where listing = ''42'' and category = ''food'' order by photo_id desc';
comment on column public_photos.photo_id is 'The photo; larger is newer';
comment on column public_photos.listing is 'The restaurant it belongs to; null where nobody said';
comment on column public_photos.category is 'food, ambience, menu or other';
comment on column public_photos.store is 's3 or folder';
comment on column public_photos.bucket is 'Bucket, or absolute folder';
comment on column public_photos.key is 'Key of the object in its bucket';
comment on column public_photos.version is 'Version id or etag of the object; empty: the current one';
comment on column public_photos.uploader is 'moderator or user; null where nobody said';
comment on column public_photos.shown_since is 'When the verdict that shows it was committed';
comment on column public_photos.registered_at is 'When its upload became known';

create view photo_tags as
  select t.photo_id, p.listing, t.category, t.score, t.threshold, t.model, p.state, p.claimed, p.decided_at
  from tags t join photos p on p.id = t.photo_id where p.superseded_at is null;
comment on view photo_tags is 'The tags of every current photo, whether or not it is shown.';
comment on column photo_tags.photo_id is 'The photo';
comment on column photo_tags.listing is 'The restaurant it belongs to; null where nobody said';
comment on column photo_tags.category is 'The category that passed its threshold';
comment on column photo_tags.score is 'Probability 0 to 1 that the model gave';
comment on column photo_tags.threshold is 'The threshold it passed, 0 to 1';
comment on column photo_tags.model is 'Who gave it: model:NAME or moderator:NAME';
comment on column photo_tags.state is 'shown, hidden, review or failed';
comment on column photo_tags.claimed is 'The category its uploader marked; null where nobody did';
comment on column photo_tags.decided_at is 'When the current verdict was committed';

create view failed_photos as
  select id as photo_id, listing, store, bucket, key, version, failure as code, reason, lane, registered_at, decided_at as failed_at
  from photos where state = 'failed' and superseded_at is null;
comment on view failed_photos is 'Photos that could not be judged. They are not shown; maitred enqueue --failed replays them.';
comment on column failed_photos.photo_id is 'The photo';
comment on column failed_photos.listing is 'The restaurant it belongs to; null where nobody said';
comment on column failed_photos.store is 's3 or folder';
comment on column failed_photos.bucket is 'Bucket, or absolute folder';
comment on column failed_photos.key is 'Key of the object in its bucket';
comment on column failed_photos.version is 'Version id or etag of the object; empty: the current one';
comment on column failed_photos.code is 'Why, as a code that never changes: CORRUPT, GONE, TOO_LARGE ...';
comment on column failed_photos.reason is 'Why, for a person';
comment on column failed_photos.lane is 'live or backfill';
comment on column failed_photos.registered_at is 'When its upload became known';
comment on column failed_photos.failed_at is 'When it was given up';
