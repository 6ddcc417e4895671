-- Up Migration

create table backfills (
  id         bigint generated always as identity primary key,
  what       jsonb not null,
  model      text not null,
  again      boolean not null default false,
  state      text not null default 'running' check (state in ('running', 'paused', 'cancelled', 'done')),
  max_rate   real check (max_rate > 0),
  hours      text,
  started_by text not null,
  started_at timestamptz not null default now(),
  changed_by text,
  changed_at timestamptz,
  why        text,
  ended_at   timestamptz,
  cursor     jsonb,
  read_all   boolean not null default false,
  seen       bigint not null default 0,
  fed        bigint not null default 0,
  skipped    bigint not null default 0,
  unreadable bigint not null default 0,
  check ((state in ('cancelled', 'done')) = (ended_at is not null))
);
comment on table backfills is 'One row a run over the archive; maitred feed works on those that are running.';
comment on column backfills.what is 'The selector: which photos, see src/backfill/selector.ts';
comment on column backfills.model is 'model:NAME; what it decided already is skipped, unless again';
comment on column backfills.max_rate is 'Photos a second at most; null: as fast as they are judged';
comment on column backfills.hours is 'When it may feed, such as 22-06; null: always';
comment on column backfills.changed_by is 'Who paused, resumed or cancelled it last, when (changed_at) and why';
comment on column backfills.cursor is 'Where the selector goes on; committed with what was fed up to there';
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

-- How verdicts came out, counted as they are committed. after = 'kept': the verdict before stands, because a moderator
-- gave it, because the same model and policy had given it, or because the photo could not be had this time (code says so).
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

-- Photos that got another verdict or category, and photos that failed.
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
comment on table backfill_changes is 'What each backfill changed, and what failed in it.';
create index backfill_changes_failed on backfill_changes (backfill_id, photo_id) where code is not null;

-- The current photos of objects of one bucket, as a listing or an inventory names them; what is not known yet is made known.
-- A listing may be old: it neither replaces what an event made current, nor brings back what an event removed.
-- Arrays: one element an object; version, listing, uploader and claimed are those of a photo that is new.
-- Locks: the objects that are new, so that an event about one of them comes before or after, never between.
create function photos_of_objects(
  p_store text, p_bucket text, p_key text[], p_version text[], p_listing text[], p_uploader text[], p_claimed text[]
) returns setof bigint language plpgsql as $$
declare
  fresh text[];
  ours text[];
begin
  select array_agg(distinct k) into fresh from unnest(p_key) k
  where not exists (
    select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, k) and p.superseded_at is null);
  if fresh is not null then
    with made as (
      insert into object_order (store, bucket, key) select p_store, p_bucket, k from unnest(fresh) k order by k
      on conflict do nothing returning key
    )
    select array_agg(key) into ours from made;
    perform 1 from object_order o
    where (o.store, o.bucket, o.version) = (p_store, p_bucket, '') and o.key = any (fresh)
    order by o.key for update;
    insert into photos (store, bucket, key, version, listing, uploader, claimed, lane)
    select distinct on (i.key) p_store, p_bucket, i.key, i.version, i.listing, i.uploader, i.claimed, 'backfill'
    from unnest(p_key, p_version, p_listing, p_uploader, p_claimed) as i (key, version, listing, uploader, claimed)
    where i.key = any (fresh)
      and not exists (
        select from photos p where (p.store, p.bucket, p.key) = (p_store, p_bucket, i.key) and p.superseded_at is null)
      and not exists (
        select from object_order o
        where (o.store, o.bucket, o.key) = (p_store, p_bucket, i.key) and o.version in ('', i.version) and o.removed)
    order by i.key
    on conflict do nothing;
    -- the row was only to be waited for: an archive must not leave one for each of its objects
    delete from object_order o
    where (o.store, o.bucket, o.version) = (p_store, p_bucket, '') and o.key = any (ours) and o.latest is null and not o.removed;
  end if;
  return query
    select p.id from photos p
    where p.store = p_store and p.bucket = p_bucket and p.key = any (p_key) and p.superseded_at is null;
end $$;

-- Takes note that a page of the selector was read, in the transaction that says which of its photos are to be judged.
-- p_photo_ids: the photos of the page; p_from: the cursor that it was read from, p_cursor: where the next page begins.
-- Returns the photos to queue: those that are current and not decided by the backfill's model or by a moderator.
-- MD412: the backfill is not running, or another feeder was faster: nothing changed.
-- Locks: the backfill.
create function feed_backfill(
  p_id bigint, p_from jsonb, p_cursor jsonb, p_read_all boolean, p_photo_ids bigint[], p_unreadable bigint
) returns setof photos language plpgsql as $$
declare
  run backfills;
  wanted bigint[];
begin
  select * into run from backfills where id = p_id for update;
  if run.state is distinct from 'running' or run.read_all or run.cursor is distinct from p_from then
    raise exception 'backfill % stands elsewhere', p_id using errcode = 'MD412';
  end if;
  select coalesce(array_agg(p.id order by p.id), '{}') into wanted from photos p
  where p.id = any (p_photo_ids) and p.superseded_at is null
    and (p.decided_by is null or p.decided_by not like 'moderator:%')
    and (run.again or p.state in ('pending', 'failed') or p.decided_by is distinct from run.model);
  insert into backfill_photos (photo_id, backfill_id) select unnest(wanted), p_id on conflict do nothing;
  update backfills
  set cursor = p_cursor, read_all = p_read_all, unreadable = unreadable + p_unreadable,
      seen = seen + (select count(distinct i) from unnest(p_photo_ids) i), fed = fed + cardinality(wanted),
      skipped = skipped + (select count(distinct i) from unnest(p_photo_ids) i) - cardinality(wanted)
  where id = p_id;
  return query select p.* from photos p where p.id = any (wanted) order by p.id;
end $$;

-- Pauses, resumes or cancels a backfill, and writes who and why. A cancelled one forgets what waits for it.
-- MD404: there is none. MD409: it is in a state from which that cannot be.
create function change_backfill(p_id bigint, p_state text, p_by text, p_why text) returns void language plpgsql as $$
declare run backfills;
begin
  select * into run from backfills where id = p_id for update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.ended_at is not null or run.state = p_state then
    raise exception 'backfill % is % already', p_id, run.state using errcode = 'MD409';
  end if;
  update backfills
  set state = p_state, changed_by = p_by, changed_at = now(), why = p_why,
      ended_at = case when p_state = 'cancelled' then now() end
  where id = p_id;
  if p_state = 'cancelled' then delete from backfill_photos where backfill_id = p_id; end if;
end $$;

-- Waits for the photos that failed in a backfill once more, and returns them for the queue; a finished one runs again.
-- p_code: only those that failed for that. MD404: there is no such backfill. MD409: it was cancelled.
create function retry_backfill(p_id bigint, p_code text, p_by text) returns setof photos language plpgsql as $$
declare run backfills;
begin
  select * into run from backfills where id = p_id for update;
  if not found then raise exception 'there is no backfill %', p_id using errcode = 'MD404'; end if;
  if run.state = 'cancelled' then raise exception 'backfill % was cancelled', p_id using errcode = 'MD409'; end if;
  return query
  with again as (
    delete from backfill_changes c
    where c.backfill_id = p_id and c.code is not null and (p_code is null or c.code = p_code) returning c.*
  ), uncounted as (
    update backfill_counts c set photos = c.photos - a.photos
    from (
      select before, coalesce(before_category, '') as before_category, after, coalesce(after_category, '') as after_category,
        code, count(*) as photos
      from again group by 1, 2, 3, 4, 5
    ) a
    where c.backfill_id = p_id and (c.before, c.before_category, c.after, c.after_category, c.code)
      = (a.before, a.before_category, a.after, a.after_category, a.code)
  ), waiting as (
    insert into backfill_photos (photo_id, backfill_id) select a.photo_id, p_id from again a on conflict do nothing
    returning photo_id
  )
  select p.* from photos p join again a on a.photo_id = p.id where p.superseded_at is null order by p.id;
  -- of a photo that was replaced meanwhile nobody will hear
  delete from backfill_photos w using photos p
  where w.backfill_id = p_id and p.id = w.photo_id and p.superseded_at is not null;
  if found or exists (select from backfill_photos w where w.backfill_id = p_id) then
    update backfills
    set state = case when state = 'paused' then 'paused' else 'running' end, ended_at = null, changed_by = p_by, changed_at = now(),
        why = 'failed photos are tried again'
    where id = p_id;
  end if;
end $$;

-- Ends the backfills that were read to their end and wait for nothing more; returns them.
-- What was replaced or removed while it waited is waited for no longer.
create function end_backfills() returns setof bigint language sql as $$
  delete from backfill_photos w using photos p
  where p.id = w.photo_id and p.superseded_at is not null;
  update backfills b set state = 'done', ended_at = now()
  where b.state = 'running' and b.read_all
    and not exists (select from backfill_photos w where w.backfill_id = b.id)
  returning b.id;
$$;

-- As in 0002, and settles what backfills wait for in the same transaction: whoever judged the photo, a live upload too,
-- it needs no judging any more.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
begin
  -- a statement of its own, so that the next one sees what a rival committed while this one waited
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;

  return query
  with input as (
    select distinct on (i.id) i.*
    from jsonb_to_recordset(p_items) as i (
      id bigint, verdict text, rule text, reason text, category text, human real, scores jsonb, tags jsonb,
      by text, policy text, batch text, known jsonb, failure text, transient boolean)
    order by i.id
  ), wanted as materialized (
    select input.*, locked.state as before, coalesce(locked.category, '') as before_category, case
        when locked.decided_by like 'moderator:%' then false
        when input.verdict = 'failed' then
          case when locked.state = 'failed' then locked.failure is distinct from input.failure
               else locked.state = 'pending' or not input.transient end
        else locked.state in ('pending', 'failed')
          or locked.decided_by is distinct from input.by or locked.policy is distinct from input.policy
      end as changes
    from input join photos locked on locked.id = input.id
  ), state as (
    update photos p
    set state = w.verdict, category = w.category, human = w.human, rule = w.rule, reason = w.reason,
        failure = w.failure, decided_by = w.by, policy = w.policy, decided_at = now(),
        listing = coalesce(p.listing, w.known ->> 'listing'),
        uploader = coalesce(p.uploader, w.known ->> 'uploader'),
        claimed = coalesce(p.claimed, w.known ->> 'claimed')
    from wanted w where p.id = w.id and w.changes
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch)
    select w.id, w.verdict, w.rule, w.reason, w.category, w.human, w.scores, w.by, w.policy, w.batch
    from wanted w where w.changes
  ), given as (
    select w.id, t.category, t.score, t.threshold, w.by
    from wanted w, jsonb_to_recordset(coalesce(w.tags, '[]')) as t (category text, score real, threshold real)
    where w.changes
  ), taken as (
    delete from tags t using wanted w
    where w.changes and t.photo_id = w.id
      and not exists (select from given g where g.id = t.photo_id and g.category = t.category)
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select g.id, g.category, g.score, g.threshold, g.by from given g
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  ), settled as (
    delete from backfill_photos b using wanted w where b.photo_id = w.id
    returning b.backfill_id, b.photo_id, w.before, w.before_category,
      case when w.changes then w.verdict else 'kept' end as after,
      case when w.changes then coalesce(w.category, '') else w.before_category end as after_category,
      coalesce(w.failure, '') as code
  ), counted as (
    insert into backfill_counts as c (backfill_id, before, before_category, after, after_category, code, photos)
    select s.backfill_id, s.before, s.before_category, s.after, s.after_category, s.code, count(*)
    from settled s group by 1, 2, 3, 4, 5, 6
    -- in one order, so that two groups never wait for each other in a circle
    order by 1, 2, 3, 4, 5, 6
    on conflict on constraint backfill_counts_pkey do update set photos = c.photos + excluded.photos
  ), noted as (
    insert into backfill_changes (backfill_id, photo_id, before, before_category, after, after_category, code)
    select s.backfill_id, s.photo_id, s.before, nullif(s.before_category, ''), s.after, nullif(s.after_category, ''), nullif(s.code, '')
    from settled s
    where s.code <> '' or (s.after <> 'kept' and (s.before, s.before_category) is distinct from (s.after, s.after_category))
    on conflict on constraint backfill_changes_pkey do update
      set before = excluded.before, before_category = excluded.before_category, after = excluded.after,
          after_category = excluded.after_category, code = excluded.code
  )
  select w.id, w.changes from wanted w;
end $$;

-- What grant_roles gave until now, and then what is new here; it is called by the same name.
alter function grant_roles(text) rename to grant_roles_before_backfills;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  perform grant_roles_before_backfills(p_queue_schema);
  if to_regrole('maitred_worker') is not null then
    grant select, insert, update on backfills to maitred_worker;
    grant select, insert, update, delete on backfill_photos, backfill_counts, backfill_changes to maitred_worker;
  end if;
  if to_regrole('maitred_dashboard') is not null then
    grant select on backfills, backfill_counts to maitred_dashboard;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      for thing in
        select format('table %I', relname) from pg_class where relnamespace = 'public'::regnamespace
          and relname in ('backfills', 'backfill_photos', 'backfill_counts', 'backfill_changes')
        union all select 'function ' || oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace
          and proname in ('photos_of_objects', 'feed_backfill', 'change_backfill', 'retry_backfill', 'end_backfills', 'record_verdicts', 'grant_roles_before_backfills')
      loop
        execute format('alter %s owner to maitred_migrator', thing);
      end loop;
    exception
      when insufficient_privilege then
        raise notice 'the tables of backfills stay with %: only an administrator may give them to maitred_migrator', current_user;
    end;
  end if;
end $$;
