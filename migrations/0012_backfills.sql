-- Up Migration

create table backfills (
  id         bigint generated always as identity primary key,
  what       jsonb not null,
  model      text not null,
  again      boolean not null default false,
  propose    boolean not null default false,
  state      text not null default 'running' check (state in ('running', 'paused', 'cancelled', 'done')),
  outcome    text check (outcome in ('applied', 'discarded', 'rolled back')),
  max_rate   real check (max_rate > 0),
  hours      text,
  rendition  text,
  expected   bigint check (expected > 0),
  started_by text not null,
  started_at timestamptz not null default now(),
  changed_by text,
  changed_at timestamptz,
  why        text,
  ended_at   timestamptz,
  cursor     jsonb,
  read_all   boolean not null default false,
  rests_until timestamptz,
  seen       bigint not null default 0,
  fed        bigint not null default 0,
  skipped    bigint not null default 0,
  unreadable bigint not null default 0,
  check ((state in ('cancelled', 'done')) = (ended_at is not null))
);
comment on table backfills is 'One row a run over the archive; maitred feed works on those that are running.';
comment on column backfills.what is 'The selector: which photos, see src/backfill/selector.ts';
comment on column backfills.model is 'model:NAME; what it decided already is skipped, unless again';
comment on column backfills.again is 'It judges what its model decided already, too, and writes what comes out otherwise';
comment on column backfills.propose is 'Whether its verdicts wait in proposals until somebody applies them';
comment on column backfills.outcome is 'What an operator did with it afterwards';
comment on column backfills.max_rate is 'Photos a second at most; null: as fast as they are judged';
comment on column backfills.hours is 'When it may feed, such as 22-06; null: always';
comment on column backfills.changed_by is 'Who paused, resumed or cancelled it last, when (changed_at) and why';
comment on column backfills.rendition is 'Template of the keys that are read instead of the photos'', such as resized/{key}; null: none';
comment on column backfills.expected is 'How many photos there are, as whoever started it said; null: nobody did';
comment on column backfills.cursor is 'Where the selector goes on; committed with what was fed up to there';
comment on column backfills.rests_until is 'Of one with a max_rate: what was fed lasts until then, by whichever feeder';
comment on column backfills.read_all is 'Whether the selector was read to its end';
comment on column backfills.seen is 'Photos that the selector named: fed and skipped';
comment on column backfills.unreadable is 'Entries of a manifest that name no photo';

-- What a backfill has put into the queue and what is not judged yet: as small as the queue, whatever the archive's size.
create table backfill_photos (
  photo_id    bigint not null references photos on delete cascade,
  backfill_id bigint not null references backfills on delete cascade,
  fed_at      timestamptz not null default now(),
  primary key (photo_id, backfill_id)
);
comment on table backfill_photos is 'Photos that backfills wait for.';
create index backfill_photos_backfill on backfill_photos (backfill_id, fed_at);

-- Of all feeders the one that spoke last, so that whoever looks at a run that does not go on is told why.
create table feeding (
  single      boolean primary key default true check (single),
  heard_at    timestamptz not null,
  stands_back boolean not null
);
comment on table feeding is 'When a maitred feed or maitred up last said that it feeds backfills: a single row.';
comment on column feeding.stands_back is 'Whether it feeds nothing, because an upload has waited for longer than MAITRED_LIVE_TARGET_MS';

-- How verdicts came out, counted as they are committed. after = 'kept': the verdict before stands, because a moderator
-- gave it, because the same model and policy had given it (with again: no other one), or because the photo could not be had
-- this time (code says so).
create table backfill_counts (
  backfill_id     bigint not null references backfills on delete cascade,
  before          text not null,
  before_category text not null default '',
  after           text not null,
  after_category  text not null default '',
  code            text not null default '',
  photos          bigint not null,
  primary key (backfill_id, before, before_category, after, after_category, code)
);
comment on table backfill_counts is 'Of each backfill: verdict and category before, and after, and how many photos.';

-- Photos that got another verdict or category, and photos that failed; and those of a list that nothing else shows to be judged.
create table backfill_changes (
  backfill_id     bigint not null references backfills on delete cascade,
  photo_id        bigint not null references photos on delete cascade,
  before          text not null,
  before_category text,
  after           text not null,
  after_category  text,
  code            text,
  primary key (backfill_id, photo_id)
);
comment on table backfill_changes is 'What each backfill changed, and what failed in it; of one over a list also what stayed as it was.';
create index backfill_changes_photo on backfill_changes (photo_id);
create index backfill_changes_failed on backfill_changes (backfill_id, code, photo_id) where code is not null;

-- What an operator wants tried again, and the feeder has not fed to its end yet.
create table backfill_retries (
  backfill_id bigint not null references backfills on delete cascade,
  code        text not null,
  after       bigint not null default 0,
  primary key (backfill_id, code)
);
comment on table backfill_retries is 'Failures that are to be tried again; the feeder takes them page by page.';
comment on column backfill_retries.after is 'Photos up to this one were fed again already';
