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

-- The current photos of objects of one bucket, as a listing or an inventory names them; what is not known yet is made known.
-- A listing may be old: it neither replaces what an event made current, nor brings back what an event removed. Of several versions of
-- one object the last is the current one, as in register_photos.
-- What names no version id makes no photo of an object of which a version id is known, and none of which is current: it may be an older
-- version that is the latest again, which no event tells, and which a moderator had hidden. A sweep asks the bucket which it is. Its
-- newest photo is returned in its place, which whoever feeds it skips, as it is withdrawn.
-- Arrays: one element an object; version is that of a photo that is new. Listing, uploader and claimed are filled in where they
-- are not known of the photo that is current, as register_photos does, and replace nothing. What is said of another version is
-- left out, as far as that can be told: an etag may be that of any version id.
-- Locks: the objects that are new, so that an event about one of them comes before or after, never between; then the photos that
-- it fills in, in the order of their ids.
create function photos_of_objects(
  p_store text, p_bucket text, p_key text[], p_version text[], p_listing text[], p_uploader text[], p_claimed text[]
) returns setof bigint language plpgsql as $$
declare
  fresh text[];
  ours text[];
begin
  -- "offset 0": each key is looked up by itself. A bucket of which statistics know nothing yet is taken for one photo, and all of
  -- it would be read for every page.
  select array_agg(distinct k) into fresh from unnest(p_key) k
  where not exists (
    select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, k) and p.superseded_at is null offset 0);
  if fresh is not null then
    with made as (
      insert into object_order as o (store, bucket, key) select p_store, p_bucket, k from unnest(fresh) k order by k
      on conflict (store, bucket, key, version) do update set latest = o.latest where false returning key
    )
    select array_agg(key) into ours from made;
    insert into photos (store, bucket, key, version, listing, uploader, claimed, lane)
    select distinct on (i.key) p_store, p_bucket, i.key, i.version, i.listing, i.uploader, i.claimed, 'backfill'
    from unnest(p_key, p_version, p_listing, p_uploader, p_claimed) with ordinality as i (key, version, listing, uploader, claimed, n)
    where i.key = any (fresh)
      and not exists (
        select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, i.key) and p.superseded_at is null offset 0)
      and not exists (
        select from object_order o
        where (o.store, o.bucket, o.key) = (p_store, p_bucket, i.key) and o.version in ('', i.version) and o.removed offset 0)
      and not (has_no_id(i.version) and exists (
        select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, i.key) and not has_no_id(p.version) offset 0))
    order by i.key, i.n desc
    on conflict do nothing;
    -- the row was only to be waited for: an archive must not leave one for each of its objects
    delete from object_order o
    where (o.store, o.bucket, o.version) = (p_store, p_bucket, '') and o.key = any (ours) and o.latest is null and not o.removed;
  end if;
  with told as (
    -- store and bucket for the same reason as "offset 0" above
    select distinct on (i.key) p_store as store, p_bucket as bucket, i.*
    from unnest(p_key, p_version, p_listing, p_uploader, p_claimed) with ordinality as i (key, version, listing, uploader, claimed, n)
    where coalesce(i.listing, i.uploader, i.claimed) is not null order by i.key, i.n desc
  ), locked as materialized (
    select p.id, t.listing, t.uploader, t.claimed from told t
    join photos p on (p.store, p.bucket, p.key) = (t.store, t.bucket, t.key) and p.superseded_at is null
      and (p.version in ('', t.version) or t.version = '' or (p.version like 'etag:%') <> (t.version like 'etag:%'))
    where p.listing is null and t.listing is not null or p.uploader is null and t.uploader is not null
      or p.claimed is null and t.claimed is not null
    order by p.id for no key update of p
  )
  update photos p
  set listing = coalesce(p.listing, l.listing), uploader = coalesce(p.uploader, l.uploader), claimed = coalesce(p.claimed, l.claimed)
  from locked l where p.id = l.id;
  return query
    select p.id from photos p
    where p.store = p_store and p.bucket = p_bucket and p.key = any (p_key) and p.superseded_at is null
    union all
    select left_out.id from unnest(fresh) k cross join lateral (
      select p.id from photos p
      where (p.store, p.bucket, p.key) = (p_store, p_bucket, k) and not has_no_id(p.version) order by p.id desc limit 1) left_out
    where not exists (
      select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, k) and p.superseded_at is null offset 0);
end $$;

-- Until when a backfill rests that feeds so many photos more: as long as they take at its rate. It makes up for less than a second
-- by which it is late, so that its rate is kept, and for nothing of a longer stop.
create function rests_after(run backfills, p_photos bigint) returns timestamptz language sql as $$
  select case when run.rests_until > clock_timestamp() - interval '1 second' then run.rests_until else clock_timestamp() end
    + make_interval(secs => p_photos / run.max_rate)
$$;

-- Takes note that a page of the selector was read, in the transaction that says which of its photos are to be judged.
-- p_photo_ids: the photos of the page; p_from: the cursor that it was read from, p_cursor: where the next page begins.
-- Returns the photos to queue: those that are current and not decided by the backfill's model or by a moderator. What this
-- backfill has fed already is skipped, for a list may name a photo on several pages.
-- MD412: the backfill is not running, or rests because of its rate, or another feeder was faster: nothing changed.
-- Locks: the backfill, but its key, which whoever counts a verdict of it shares while they hold photos that this waits for.
create function feed_backfill(
  p_id bigint, p_from jsonb, p_cursor jsonb, p_read_all boolean, p_photo_ids bigint[], p_unreadable bigint
) returns setof photos language plpgsql as $$
declare
  run backfills;
  wanted bigint[];
begin
  -- "no key": workers that count a photo of it refer to it, and hold photos that this may wait for
  select * into run from backfills where id = p_id for no key update;
  if run.state is distinct from 'running' or run.read_all or run.cursor is distinct from p_from
    or run.rests_until > clock_timestamp() then
    raise exception 'backfill % stands elsewhere', p_id using errcode = 'MD412';
  end if;
  -- "offset 0" as in photos_of_objects: a backfill of which statistics know nothing yet may have millions of rows
  select coalesce(array_agg(p.id order by p.id), '{}') into wanted from photos p
  where p.id = any (p_photo_ids) and p.superseded_at is null
    and (p.decided_by is null or p.decided_by not like 'moderator:%')
    and (run.again or p.state in ('pending', 'failed') or p.decided_by is distinct from run.model)
    and not exists (select from backfill_photos w where (w.photo_id, w.backfill_id) = (p.id, p_id) offset 0)
    and not exists (select from backfill_changes c where (c.backfill_id, c.photo_id) = (p_id, p.id) offset 0)
    and not exists (select from proposals s where (s.backfill_id, s.photo_id) = (p_id, p.id) offset 0)
    and not ((run.again or run.what ->> 'kind' = 'manifest')
      and exists (select from verdicts v where v.photo_id = p.id and v.backfill_id = p_id offset 0));
  insert into backfill_photos (photo_id, backfill_id) select unnest(wanted), p_id on conflict do nothing;
  update backfills
  set cursor = p_cursor, read_all = p_read_all, unreadable = unreadable + p_unreadable,
      rests_until = rests_after(run, cardinality(wanted)),
      seen = seen + (select count(distinct i) from unnest(p_photo_ids) i), fed = fed + cardinality(wanted),
      skipped = skipped + (select count(distinct i) from unnest(p_photo_ids) i) - cardinality(wanted)
  where id = p_id;
  return query select p.* from photos p where p.id = any (wanted) order by p.id;
end $$;

-- Pauses, resumes or cancels a backfill, and writes who and why, also to audit_log, which keeps all of them. A cancelled one feeds nothing more; what is in the queue
-- for it is still judged, and is still its own, or a proposal would become a verdict.
-- MD404: there is none. MD409: it is in a state from which that cannot be.
create function change_backfill(p_id bigint, p_state text, p_by text, p_why text) returns void language plpgsql as $$
declare run backfills;
begin
  select * into run from backfills where id = p_id for no key update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.ended_at is not null or run.state = p_state then
    raise exception 'backfill % is % already', p_id, run.state using errcode = 'MD409';
  end if;
  update backfills
  set state = p_state, changed_by = p_by, changed_at = now(), why = p_why,
      ended_at = case when p_state = 'cancelled' then now() end
  where id = p_id;
  if p_state = 'cancelled' then delete from backfill_retries where backfill_id = p_id; end if;
  insert into audit_log (who, did, about)
  values (p_by, 'changed-backfill', jsonb_build_object('backfill', p_id::text, 'state', p_state, 'why', p_why));
end $$;

-- Has the photos that failed in a backfill tried again, and lets a finished one run again for it. It only writes down what is
-- to be done, however many they are: feed_retries does it. p_code: only those that failed for that.
-- Returns how many they are; those that were replaced or forgotten since are among them.
-- MD404: there is no such backfill. MD409: it was cancelled, or rolled back. Locks: the backfill.
create function retry_backfill(p_id bigint, p_code text, p_by text) returns bigint language plpgsql as $$
declare
  run backfills;
  failed bigint;
begin
  select * into run from backfills where id = p_id for no key update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.state = 'cancelled' or run.outcome = 'rolled back' then
    raise exception 'backfill % was %: maitred backfill start --failed tries again what failed', p_id,
      case when run.state = 'cancelled' then run.state else run.outcome end
      using errcode = 'MD409';
  end if;
  with codes as (
    select code, sum(photos) as photos from backfill_counts
    where backfill_id = p_id and code <> '' and (p_code is null or code = p_code) group by 1 having sum(photos) > 0
  ), wanted as (
    insert into backfill_retries (backfill_id, code) select p_id, code from codes
    on conflict on constraint backfill_retries_pkey do update set after = 0
  )
  select coalesce(sum(photos), 0) into failed from codes;
  if failed > 0 then
    update backfills
    set state = case when state = 'paused' then 'paused' else 'running' end, ended_at = null, changed_by = p_by, changed_at = now(),
        why = 'failed photos are tried again'
    where id = p_id;
  end if;
  insert into audit_log (who, did, about)
  values (p_by, 'retried-backfill', jsonb_strip_nulls(jsonb_build_object('backfill', p_id::text, 'code', p_code, 'photos', failed)));
  return failed;
end $$;

-- Feeds a page of what is to be tried again: takes at most p_limit failures out of the counts, waits for their photos once
-- more, and returns those to queue. Of a photo that was replaced meanwhile nobody will hear, so there may be none.
-- MD412: the backfill is not running, or rests because of its rate. Locks: the backfill but its key, then as record_verdicts
-- the photos in the order of their ids, and the counts in theirs.
create function feed_retries(p_id bigint, p_limit integer) returns setof photos language plpgsql as $$
declare
  run backfills;
  retry backfill_retries;
  ids bigint[];
  queued bigint;
begin
  select * into run from backfills where id = p_id and state = 'running' for no key update;
  if not found or run.rests_until > clock_timestamp() then
    raise exception 'backfill % is not running, or rests', p_id using errcode = 'MD412';
  end if;
  select * into retry from backfill_retries r where r.backfill_id = p_id order by r.code limit 1;
  if not found then return; end if;
  ids := array(
    select c.photo_id from backfill_changes c
    where c.backfill_id = p_id and c.code = retry.code and c.photo_id > retry.after order by c.photo_id limit p_limit);
  perform 1 from photos p where p.id = any (ids) order by p.id for key share;
  perform 1 from backfill_counts c where c.backfill_id = p_id and c.code = retry.code
  order by c.before, c.before_category, c.after, c.after_category for update;
  return query
  with again as (
    delete from backfill_changes c
    where c.backfill_id = p_id and c.code = retry.code and c.photo_id = any (ids) returning c.*
  ), withdrawn as (
    -- or it would be applied though the photo was judged meanwhile
    delete from proposals s using again a where (s.backfill_id, s.photo_id) = (p_id, a.photo_id)
  ), uncounted as (
    update backfill_counts c set photos = c.photos - a.photos
    from (
      select before, coalesce(before_category, '') as before_category, after, coalesce(after_category, '') as after_category,
        count(*) as photos
      from again group by 1, 2, 3, 4
    ) a
    where c.backfill_id = p_id and (c.before, c.before_category, c.after, c.after_category, c.code)
      = (a.before, a.before_category, a.after, a.after_category, retry.code)
  ), waiting as (
    insert into backfill_photos (photo_id, backfill_id)
    select a.photo_id, p_id from again a join photos p on p.id = a.photo_id where p.superseded_at is null
    on conflict do nothing
  )
  select p.* from photos p join again a on a.photo_id = p.id where p.superseded_at is null order by p.id;
  get diagnostics queued = row_count;
  update backfills set rests_until = rests_after(run, queued) where id = p_id;
  if cardinality(ids) < p_limit then
    delete from backfill_retries r where (r.backfill_id, r.code) = (p_id, retry.code);
  else
    update backfill_retries r set after = ids[p_limit] where (r.backfill_id, r.code) = (p_id, retry.code);
  end if;
end $$;

-- Ends the backfills that were read to their end and wait for nothing more; returns them.
-- What was replaced or removed while it waited is waited for no longer. Each photo that waits is looked up by itself: of some thousands among
-- a million Postgres would rather read all photos, at each round of a feeder.
-- Waits for nobody, so that it is in no deadlock: what others hold, such as a photo whose verdict they commit, is for the next call.
create function end_backfills() returns setof bigint language plpgsql as $$
declare read_through bigint[];
begin
  delete from backfill_photos where (photo_id, backfill_id) in (
    select w.photo_id, w.backfill_id from backfill_photos w
    cross join lateral (select from photos p where p.id = w.photo_id and p.superseded_at is not null offset 0) p
    for update of w skip locked);
  -- a statement of its own, so that the next one sees what was fed or is to be tried again before the lock was had
  read_through := array(
    select b.id from backfills b
    where b.state = 'running' and b.read_all and not exists (select from backfill_photos w where w.backfill_id = b.id)
    for no key update skip locked);
  return query
  update backfills b set state = 'done', ended_at = now()
  where b.id = any (read_through)
    and not exists (select from backfill_photos w where w.backfill_id = b.id)
    and not exists (select from backfill_retries r where r.backfill_id = b.id)
  returning b.id;
end $$;

-- As record_verdicts, of what a run decides anew from stored scores, as long as it runs: one that is cancelled meanwhile waits for
-- this group, and gets no other. How far it has come is noted with that, so that who goes on after a crash counts nothing twice.
-- p_from: the cursor that it was read from, p_cursor: where the next group begins; p_seen: photos in between; p_end: none is left.
-- MD409: it does not run. MD412: another command was faster. Nothing changed then.
-- Locks: the backfill, but its key, then as record_verdicts.
create function decide_anew(p_id bigint, p_items jsonb, p_from jsonb, p_cursor jsonb, p_seen bigint, p_end boolean)
returns void language plpgsql as $$
declare
  run backfills;
  given bigint := jsonb_array_length(p_items);
begin
  select * into run from backfills b where b.id = p_id for no key update;
  if run.state is distinct from 'running' then
    raise exception 'backfill % is %', p_id, coalesce(run.state, 'gone') using errcode = 'MD409';
  elsif run.cursor is distinct from p_from then
    raise exception 'backfill % stands elsewhere', p_id using errcode = 'MD412';
  end if;
  perform record_verdicts(p_items);
  update backfills
  set cursor = p_cursor, seen = seen + p_seen, fed = fed + given, skipped = skipped + p_seen - given, read_all = p_end,
      state = case when p_end then 'done' else 'running' end, ended_at = case when p_end then now() end
  where id = p_id;
end $$;
