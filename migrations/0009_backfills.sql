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

-- Of proposing backfills: what the verdict would have been, as record_verdicts takes it.
create table proposals (
  backfill_id bigint not null references backfills on delete cascade,
  photo_id    bigint not null references photos on delete cascade,
  item        jsonb not null,
  primary key (backfill_id, photo_id)
);
create index proposals_photo on proposals (photo_id);
comment on table proposals is 'Verdicts that wait for an operator, who applies or discards all of a backfill.';

-- What every policy said that ever gave a verdict here, so that the tags of an old verdict can be given again.
create table policies (
  id         text primary key,
  yaml       text not null,
  thresholds jsonb not null,
  since      timestamptz not null default now()
);
comment on table policies is 'The policies that gave verdicts, by what photos.policy and verdicts.policy call them.';
comment on column policies.thresholds is 'By category, 0 to 1';

-- Without a reference, which would read all of a table that may be large; null in all that no backfill gave.
alter table verdicts add column backfill_id bigint, add column failure text;
comment on column verdicts.backfill_id is 'The backfill that the verdict is of';
comment on column verdicts.failure is 'The code of a failure; null in rows older than this column';

-- What was judged, on the row that holds its scores, so that whoever erases the one erases the other.
--   digest     33 bytes of a row whose photo the model ran for, and nothing in others: those that took the scores over (their
--              batch is 'same-ID'), those that another policy or a moderator decided, and older ones. So a picture that is
--              uploaded a million times is there once. It is all of the SHA-256, of which the index holds 8 bytes: of these
--              alone two of half a billion photos would meet by chance, one time in a hundred and fifty, and on purpose
--              within minutes, and a photo that somebody made to meet a harmless one would be shown.
--   rendition  that a smaller copy was judged; its name follows from that of the photo and the template of the backfill.
-- The index is in src/store/indexes.ts: built while workers run. Until it is there, maitred migrate has not ended.
--   tries      of a failure, and of a verdict that took more than one.
alter table verdicts add column digest bytea, add column rendition boolean, add column tries smallint;
comment on column verdicts.digest is 'SHA-256 of the bytes that the model judged; null where it did not run for this verdict';
comment on column verdicts.rendition is 'True where a rendition of the photo was judged, and not the photo itself';
comment on column verdicts.tries is 'How many tries a failure took, or a verdict that took more than one; null otherwise';

-- The current photos of objects of one bucket, as a listing or an inventory names them; what is not known yet is made known.
-- A listing may be old: it neither replaces what an event made current, nor brings back what an event removed.
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
    from unnest(p_key, p_version, p_listing, p_uploader, p_claimed) as i (key, version, listing, uploader, claimed)
    where i.key = any (fresh)
      and not exists (
        select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, i.key) and p.superseded_at is null offset 0)
      and not exists (
        select from object_order o
        where (o.store, o.bucket, o.key) = (p_store, p_bucket, i.key) and o.version in ('', i.version) and o.removed offset 0)
    order by i.key
    on conflict do nothing;
    -- the row was only to be waited for: an archive must not leave one for each of its objects
    delete from object_order o
    where (o.store, o.bucket, o.version) = (p_store, p_bucket, '') and o.key = any (ours) and o.latest is null and not o.removed;
  end if;
  with told as (
    -- store and bucket for the same reason as "offset 0" above
    select distinct on (i.key) p_store as store, p_bucket as bucket, i.*
    from unnest(p_key, p_version, p_listing, p_uploader, p_claimed) with ordinality as i (key, version, listing, uploader, claimed, n)
    where coalesce(i.listing, i.uploader, i.claimed) is not null order by i.key, i.n
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
    where p.store = p_store and p.bucket = p_bucket and p.key = any (p_key) and p.superseded_at is null;
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

-- Takes note of what was done with a backfill that is over, a page at a time: p_outcome is what became of it, p_why what was done.
-- audit_log has whoever begins to do so once, and not each page. Locks: the backfill, which the caller has.
create function note_outcome(p_run backfills, p_outcome text, p_why text, p_by text) returns void language plpgsql as $$
begin
  update backfills set outcome = p_outcome, changed_by = p_by, changed_at = now(), why = p_why where id = p_run.id;
  if (p_run.why, p_run.changed_by) is distinct from (p_why, p_by) then
    insert into audit_log (who, did, about)
    values (p_by, replace(p_why, ' ', '-') || '-backfill', jsonb_build_object('backfill', p_run.id::text));
  end if;
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
-- What was replaced or removed while it waited is waited for no longer.
-- Waits for nobody, so that it is in no deadlock: what others hold, such as a photo whose verdict they commit, is for the next call.
create function end_backfills() returns setof bigint language plpgsql as $$
declare read_through bigint[];
begin
  delete from backfill_photos where (photo_id, backfill_id) in (
    select w.photo_id, w.backfill_id from backfill_photos w join photos p on p.id = w.photo_id
    where p.superseded_at is not null for update of w skip locked);
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

-- The backfill, locked. MD404: there is none. MD409: it may still give verdicts.
create function backfill_that_is_over(p_id bigint) returns backfills language plpgsql as $$
declare run backfills;
begin
  select * into run from backfills where id = p_id for no key update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.ended_at is null then
    raise exception 'backfill % is %: wait until it is done, or cancel it', p_id, run.state using errcode = 'MD409';
  elsif exists (select from backfill_photos w where w.backfill_id = p_id) then
    raise exception 'photos of backfill % are in the queue: wait until they are judged, by maitred feed and a worker', p_id
      using errcode = 'MD409';
  end if;
  return run;
end $$;

-- As in 0002, and settles what backfills wait for in the same transaction: whoever judged the photo, a live upload too,
-- it needs no judging any more. Items may also have
--   fed       it was queued for backfills: where only proposing ones wait for the photo it becomes a proposal instead of a verdict.
--             Where none waits for it any more it was recorded before, maybe as a proposal, and a worker that was killed, or lost
--             Postgres, could not say so: nothing changes;
--   backfill  a backfill that the verdict is of without having waited for it; nobody judged the photo, so who waits for that waits on;
--   counted   that backfill counts it now, and makes it a proposal if it proposes;
--   stored    it is from the scores of an earlier verdict, and changes nothing of a photo that this is not the verdict of any more;
--   digest, rendition, tries  for the columns of these names. What a model says of the photo itself replaces what it said of a
--             rendition by the same policy, and not the other way round;
--   over      of a proposal: the verdict of its model that stood when it was made.
-- What the same model and policy say otherwise than they did (verdict, rule, category or score of a human) is a change where a
-- run with again waits for the photo, or proposed it and the photo was not decided since; but not where the scores were taken
-- over (the batch is 'same-ID'), nor where they are of a rendition, and what stands of the photo itself. A run that only
-- proposes makes no verdict of it, and nothing of what was not fed.
-- Where a photo is in the group twice, what was asked for otherwise than by backfills counts, and then what read the photo itself.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
begin
  -- a statement of its own, so that the next one sees what a rival committed while this one waited
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;

  return query
  with input as (
    select distinct on (i.id) i.*, e.item
    from jsonb_array_elements(p_items) as e (item), jsonb_to_record(e.item) as i (
      id bigint, verdict text, rule text, reason text, category text, human real, scores jsonb, tags jsonb,
      by text, policy text, batch text, known jsonb, failure text, transient boolean,
      fed boolean, backfill bigint, counted boolean, stored boolean, digest bytea, rendition boolean, tries smallint, over bigint)
    order by i.id, i.fed is true, i.rendition is true
  ), waiting as (
    delete from backfill_photos b using input i where b.photo_id = i.id and i.backfill is null
    returning b.photo_id, b.backfill_id
  ), settled as materialized (
    select x.photo_id, f.id as backfill_id, f.propose, f.again, f.what ->> 'kind' = 'manifest' as listed
    from (
      select w.photo_id, w.backfill_id from waiting w
      union
      select i.id, i.backfill from input i where i.backfill is not null and i.counted
    ) x join backfills f on f.id = x.backfill_id
  ), wanted as materialized (
    select input.*, locked.state as before, coalesce(locked.category, '') as before_category, asked.proposed, standing.id as standing,
      coalesce(input.backfill, (select max(s.backfill_id) from settled s where s.photo_id = input.id and not s.propose)) as of_backfill,
      case
        when locked.decided_by like 'moderator:%' then false
        when input.fed and not asked.settled then false
        when input.stored and (locked.state = 'failed' or locked.decided_by is distinct from input.by
          or (input.rendition is true) <> coalesce(standing.rendition, false)) then false
        when input.verdict = 'failed' then
          case when locked.state = 'failed' then locked.failure is distinct from input.failure
               else locked.state = 'pending' or not input.transient end
        when locked.state in ('pending', 'failed')
          or locked.decided_by is distinct from input.by or locked.policy is distinct from input.policy then true
        when (input.rendition is true) <> coalesce(standing.rendition, false) then input.rendition is not true
        else (asked.again and input.batch not like 'same-%' or coalesce(input.over = standing.id, false))
          and (locked.state, locked.rule, locked.category, locked.human)
            is distinct from (input.verdict, input.rule, input.category, input.human)
      end as differs
    from input join photos locked on locked.id = input.id
    left join lateral (
      select v.id, v.rendition from verdicts v
      where v.photo_id = input.id and locked.decided_by = input.by order by v.id desc limit 1
    ) standing on true
    cross join lateral (
      select count(*) > 0 as settled,
        coalesce(bool_and(s.propose), false) and (coalesce(input.fed, false) or coalesce(input.counted, false)) as proposed,
        coalesce(bool_or(s.again) filter (where not s.propose), bool_or(s.again) and input.fed, false) as again
      from settled s where s.photo_id = input.id
    ) asked
  ), changing as materialized (
    select * from wanted w where w.differs and not w.proposed
  ), state as (
    update photos p
    set state = w.verdict, category = w.category, human = w.human, rule = w.rule, reason = w.reason,
        failure = w.failure, decided_by = w.by, policy = w.policy, decided_at = now(),
        listing = coalesce(p.listing, w.known ->> 'listing'),
        uploader = coalesce(p.uploader, w.known ->> 'uploader'),
        claimed = coalesce(p.claimed, w.known ->> 'claimed')
    from changing w where p.id = w.id
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, failure, backfill_id,
      digest, rendition, tries)
    select w.id, w.verdict, w.rule, w.reason, w.category, w.human, w.scores, w.by, w.policy, w.batch, w.failure, w.of_backfill,
      w.digest, w.rendition, w.tries
    from changing w
  ), given as (
    select w.id, t.category, t.score, t.threshold, w.by
    from changing w, jsonb_to_recordset(coalesce(w.tags, '[]')) as t (category text, score real, threshold real)
  ), taken as (
    delete from tags t using changing w
    where t.photo_id = w.id
      and not exists (select from given g where g.id = t.photo_id and g.category = t.category)
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select g.id, g.category, g.score, g.threshold, g.by from given g
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  ), outcomes as materialized (
    select s.backfill_id, s.photo_id, w.before, w.before_category,
      case when w.differs then w.verdict else 'kept' end as after,
      case when w.differs then coalesce(w.category, '') else w.before_category end as after_category,
      coalesce(w.failure, '') as code,
      -- nothing else would tell the feeder that a list names it once more
      s.listed and not (w.differs and case when w.proposed then s.propose else w.of_backfill is not distinct from s.backfill_id end) as unseen,
      case when w.differs and w.proposed and s.propose then w.item - 'counted' - 'fed' || jsonb_build_object('over', w.standing) end as proposal
    from settled s join wanted w on w.id = s.photo_id
  ), proposed as (
    insert into proposals (backfill_id, photo_id, item)
    select o.backfill_id, o.photo_id, o.proposal || jsonb_build_object('backfill', o.backfill_id)
    from outcomes o where o.proposal is not null
    on conflict on constraint proposals_pkey do update set item = excluded.item
  ), counted as (
    insert into backfill_counts as c (backfill_id, before, before_category, after, after_category, code, photos)
    select o.backfill_id, o.before, o.before_category, o.after, o.after_category, o.code, count(*)
    from outcomes o group by 1, 2, 3, 4, 5, 6
    -- in one order, so that two groups never wait for each other in a circle
    order by 1, 2, 3, 4, 5, 6
    on conflict on constraint backfill_counts_pkey do update set photos = c.photos + excluded.photos
  ), noted as (
    insert into backfill_changes (backfill_id, photo_id, before, before_category, after, after_category, code)
    select o.backfill_id, o.photo_id, o.before, nullif(o.before_category, ''), o.after, nullif(o.after_category, ''), nullif(o.code, '')
    from outcomes o
    where o.code <> '' or o.unseen or (o.after <> 'kept' and (o.before, o.before_category) is distinct from (o.after, o.after_category))
    on conflict on constraint backfill_changes_pkey do update
      set before = excluded.before, before_category = excluded.before_category, after = excluded.after,
          after_category = excluded.after_category, code = excluded.code
  )
  select w.id, w.differs and not w.proposed from wanted w;
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

-- Makes at most p_limit proposals of a backfill the verdicts; call it until it takes none. What a moderator, or another run
-- of the same model and policy, has decided meanwhile stays. Returns how many proposals it took, and how many of these are
-- verdicts now. Where there is none any more, it changes nothing of a backfill that was applied or discarded before.
-- MD404: there is no such backfill. MD409: it does not propose, or is not over, or was rolled back.
create function apply_proposals(p_id bigint, p_limit integer, p_by text, out taken bigint, out changed bigint)
language plpgsql as $$
declare
  run backfills;
  items jsonb;
begin
  run := backfill_that_is_over(p_id);
  if not run.propose then raise exception 'backfill % gave verdicts, not proposals: maitred backfill rollback undoes them', p_id using errcode = 'MD409'; end if;
  if run.outcome = 'rolled back' then raise exception 'backfill % was rolled back', p_id using errcode = 'MD409'; end if;
  with page as (
    select s.photo_id from proposals s where s.backfill_id = p_id order by s.photo_id limit p_limit
  ), gone as (
    delete from proposals s using page where s.backfill_id = p_id and s.photo_id = page.photo_id returning s.item
  )
  select coalesce(jsonb_agg(item), '[]'), count(*) into items, taken from gone;
  select count(*) into changed from record_verdicts(items) v where v.changed;
  if taken > 0 or run.outcome is null then perform note_outcome(run, 'applied', 'applied', p_by); end if;
end $$;

-- Forgets at most p_limit proposals of a backfill; call it until it answers 0, how many it forgot. Otherwise as apply_proposals,
-- but that it may have been rolled back, and that of one that was applied in part the rest is forgotten.
create function discard_proposals(p_id bigint, p_limit integer, p_by text) returns bigint language plpgsql as $$
declare
  run backfills;
  gone bigint;
begin
  run := backfill_that_is_over(p_id);
  if not run.propose then raise exception 'backfill % gave verdicts, not proposals: maitred backfill rollback undoes them', p_id using errcode = 'MD409'; end if;
  delete from proposals s where s.backfill_id = p_id and s.photo_id in (
    select photo_id from proposals where backfill_id = p_id order by photo_id limit p_limit);
  get diagnostics gone = row_count;
  if gone > 0 or run.outcome is null then
    perform note_outcome(run, coalesce(run.outcome, 'discarded'), 'discarded', p_by);
  end if;
  return gone;
end $$;

-- Whether a verdict was taken back after it was given, so that it is never restored: that of a backfill that was rolled back.
create function taken_back(v verdicts) returns boolean stable language sql as $$
  select exists (select from backfills b where b.id = v.backfill_id and b.outcome = 'rolled back')
$$;

-- Restores what was before a backfill, for these photos, which the caller has locked: the latest verdict that is neither of the
-- backfill nor taken back, as of when it was given: history says when it was restored. A photo that was judged again since
-- keeps that verdict. One that had none is pending again.
-- Tags are given again from the scores and the policy of the verdict before; of a policy that is not known any more, the best
-- category alone. A verdict of another backfill that stands again is of that one as before, so that it can be rolled back too.
-- Returns how many photos it restored.
create function restore_before_backfill(p_id bigint, p_ids bigint[]) returns bigint language sql as $$
  with ours as (
    select i.id, max(v.id) as last_id
    from unnest(p_ids) as i (id) join verdicts v on v.photo_id = i.id and v.backfill_id = p_id group by 1
  ), standing as materialized (
    select o.id, b.*
    from ours o
    -- one that is pending was restored before: history has no row of that
    join photos p on p.id = o.id and p.state <> 'pending'
    left join lateral (
      select v.id as verdict_id, v.verdict, v.rule, v.reason, v.category, v.human, v.scores, v.decided_by, v.policy, v.failure,
        v.backfill_id, v.rendition, v.decided_at
      from verdicts v
      where v.photo_id = o.id and v.id < o.last_id and v.backfill_id is distinct from p_id and not taken_back(v)
        -- the verdict itself, and not that it stood again, which was later
        and coalesce(v.batch, '') not like 'rollback-%'
      order by v.id desc limit 1
    ) b on true
    where not exists (select from verdicts v where v.photo_id = o.id and v.id > o.last_id and not taken_back(v))
  ), state as (
    update photos p
    set state = coalesce(s.verdict, 'pending'), category = s.category, human = s.human,
        rule = coalesce(s.rule, 'rollback'), reason = coalesce(s.reason, 'backfill ' || p_id || ' was rolled back'),
        failure = case when s.verdict = 'failed' then coalesce(s.failure, 'INTERNAL') end,
        decided_by = s.decided_by, policy = s.policy, decided_at = s.decided_at
    from standing s where p.id = s.id returning p.id, p.state, p.lane, p.superseded_at
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, failure, backfill_id,
      rendition)
    select s.id, s.verdict, s.rule, s.reason, s.category, s.human, s.scores, s.decided_by, s.policy, 'rollback-' || p_id, s.failure,
      s.backfill_id, s.rendition
    from standing s where s.verdict is not null
  ), given as (
    select s.id, c.key as category, c.value::double precision as score,
      coalesce((l.thresholds ->> c.key)::double precision, 1) as threshold, s.decided_by, l.id is null as unknown, c.key = s.category as best
    from standing s cross join lateral jsonb_each_text(coalesce(s.scores, '{}')) c left join policies l on l.id = s.policy
  ), due as (
    select g.id, g.category, g.score, case when g.unknown then 0 else g.threshold end as threshold, g.decided_by
    from given g where case when g.unknown then g.best else g.score >= g.threshold end
  ), taken as (
    delete from tags t using standing s
    where t.photo_id = s.id and not exists (select from due d where d.id = t.photo_id and d.category = t.category)
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select d.id, d.category, d.score, d.threshold, d.decided_by from due d
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  ), queued as (
    -- an upload whose own job came while the backfill's verdict stood has none any more
    insert into unqueued (photo_id)
    select s.id from state s where s.state = 'pending' and s.lane = 'live' and s.superseded_at is null
    on conflict do nothing
  )
  select count(*) from state;
$$;

-- Restores what was before a backfill, for at most p_limit photos whose id is above p_after; call it with the last id until it
-- answers null. Returns the last id it looked at, how many photos it restored (see restore_before_backfill), and how many of those it
-- looked at are of the archive, have no verdict and wait for none: whether these are judged again is for an operator to say.
-- MD404: there is no such backfill. MD409: it is not over. Locks: the photos, in the order of their ids.
create function rollback_backfill(p_id bigint, p_after bigint, p_limit integer, p_by text)
returns table (last_id bigint, restored bigint, pending bigint) language plpgsql as $$
declare
  run backfills;
  ids bigint[];
begin
  run := backfill_that_is_over(p_id);
  select array_agg(photo_id order by photo_id) into ids from (
    select distinct v.photo_id from verdicts v where v.backfill_id = p_id and v.photo_id > p_after order by 1 limit p_limit) v;
  if ids is null then return; end if;
  perform 1 from photos p where p.id = any (ids) order by p.id for update;
  restored := restore_before_backfill(p_id, ids);
  select count(*) into pending from photos p
  where p.id = any (ids) and p.state = 'pending' and p.lane = 'backfill' and p.superseded_at is null
    and not exists (select from backfill_photos w where w.photo_id = p.id)
    and not exists (select from unqueued u where u.photo_id = p.id);
  last_id := ids[cardinality(ids)];
  perform note_outcome(run, 'rolled back', 'rolled back', p_by);
  return next;
end $$;

-- What grant_roles gave until now, and then what is new here; it is called by the same name.
alter function grant_roles(text) rename to grant_roles_before_backfills;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  perform grant_roles_before_backfills(p_queue_schema);
  if to_regrole('maitred_worker') is not null then
    grant select, insert, update on backfills, feeding to maitred_worker;
    grant select, insert, update, delete on backfill_photos, backfill_counts, backfill_changes, backfill_retries, proposals
      to maitred_worker;
    grant select, insert on policies to maitred_worker;
    -- photos_of_objects leaves none behind
    grant delete on object_order to maitred_worker;
  end if;
  if to_regrole('maitred_dashboard') is not null then
    grant select on backfills, backfill_counts to maitred_dashboard;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      for thing in
        select format('table %I', relname) from pg_class where relnamespace = 'public'::regnamespace
          and relname in ('backfills', 'feeding', 'backfill_photos', 'backfill_counts', 'backfill_changes', 'backfill_retries', 'proposals', 'policies')
        union all select 'function ' || oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace
          and proname in ('photos_of_objects', 'rests_after', 'feed_backfill', 'change_backfill', 'note_outcome', 'retry_backfill', 'feed_retries', 'end_backfills', 'record_verdicts', 'decide_anew', 'backfill_that_is_over',
            'apply_proposals', 'discard_proposals', 'taken_back', 'restore_before_backfill', 'rollback_backfill', 'grant_roles_before_backfills')
      loop
        execute format('alter %s owner to maitred_migrator', thing);
      end loop;
    exception
      when insufficient_privilege then
        raise notice 'the tables of backfills stay with %: only an administrator may give them to maitred_migrator', current_user;
    end;
  end if;
end $$;
