-- Up Migration

-- What is remembered of every object that an event spoke of, so that an older event never undoes a newer one.
create table object_order (
  store   text not null,
  bucket  text collate "C" not null,
  key     text collate "C" not null,
  version text collate "C" not null default '',
  latest  text,
  removed boolean not null default false,
  primary key (store, bucket, key, version)
);
comment on table object_order is 'The latest event of each object, and each version that was removed on its own.';
comment on column object_order.version is 'Empty: the object as a whole; null: what has no version id; else a version that is gone for good';
comment on column object_order.latest is 'The highest order seen; null where no event had one';

-- What is committed here and not yet in a queue; empty but for a moment, unless a queue was away.
create table unqueued (
  photo_id bigint primary key references photos on delete cascade,
  since    timestamptz not null default now()
);
comment on table unqueued is 'Photos that an event made known and that no queue is known to hold.';

-- An order as text that compares as the orders do: the shorter of two is filled up with zeros on the side p_pad.
create function order_key(p_order text, p_pad text) returns text immutable language sql as $$
  select (case p_pad when 'right' then rtrim(p_order, '0') else lpad(ltrim(p_order, '0'), 64, '0') end) collate "C"
$$;

-- Whether a photo was told of without a version id: by its etag, its order, or nothing. The bucket may have one all the same.
create function has_no_id(p_version text) returns boolean immutable language sql as $$
  select p_version = '' or p_version like 'etag:%' or p_version like 'generation:%'
$$;

-- Takes the current photos of an object out of the public, and of what waits for a queue: of p_version alone where one is
-- given ('null': of those without a version id), and never the photo p_keep. Returns the newest of those it took.
create function withdraw_photos(p_store text, p_bucket text, p_key text, p_version text, p_keep bigint)
returns bigint language sql as $$
  with gone as (
    update photos p set superseded_at = now()
    where (p.store, p.bucket, p.key) = (p_store, p_bucket, p_key) and p.superseded_at is null
      and (p_version in ('', p.version) or (p_version = 'null' and has_no_id(p.version))) and p.id is distinct from p_keep
    returning p.id
  ), forgotten as (
    delete from unqueued u using gone where u.photo_id = gone.id
  )
  select max(id) from gone;
$$;

-- Acts on events in one transaction. p_events: a JSON array of {kind, store, bucket, key, version, ord, listing,
-- uploader, claimed}; p_pad: left or right, see order_key. Events without an order count as the newest, as they come.
--   created: the version is the current photo of its object, and supersedes the others. With neither version nor order it
--     is told of the photo that is current, unless that one failed; what is told so before any event is known of the
--     photo that the first event names;
--   removed: with a version that version alone, with 'null' what has no version id, else every version, is no longer
--     current, whatever its verdict: it is not public, and neither a model's verdict nor a moderator's makes it so. Tags and
--     history stay. What is shown without a version id may be the version that went: it is queued in the lane live, so that
--     a worker looks whether its bytes are there. A moderator's verdict outlives that, so what one has shown is withdrawn.
-- Returns, in order, the photo (null where none is known), whether it wants to be queued, and what became of the event:
--   accepted   the photo is current now, and was not before, or its failure is tried again
--   known      the newest event, which changes nothing that is shown
--   removed    the photo, or all photos of the object, are withdrawn
--   duplicate  it was here before
--   stale      a later event was here before: nothing changed
-- A photo without a verdict is put into unqueued; the caller queues it after the commit, and then calls mark_queued.
-- Locks: the objects in the order of their keys, then their photos in the order of their ids.
create function record_events(p_events jsonb, p_pad text)
returns table (photo_id bigint, outcome text, queue boolean) language plpgsql as $$
declare
  e record;
  seen object_order;
  unnamed object_order;
  photo photos;
  told photos;
  named boolean;
begin
  -- of rivals that speak of one object, each waits here for the one before it, and then sees what that one committed;
  -- nothing is updated, only locked, and made anew where who was waited for has forgotten the object
  insert into object_order as o (store, bucket, key)
  select distinct i.store, i.bucket, i.key
  from jsonb_to_recordset(p_events) as i (store text, bucket text, key text) order by 1, 2, 3
  on conflict (store, bucket, key, version) do update set latest = o.latest where false;
  perform 1 from photos p
  where (p.store, p.bucket, p.key) in (
    select i.store, i.bucket, i.key from jsonb_to_recordset(p_events) as i (store text, bucket text, key text))
  order by p.id for update;

  for e in
    select * from rows from (jsonb_to_recordset(p_events) as (
      kind text, store text, bucket text, key text, version text, ord text, listing text, uploader text, claimed text
    )) with ordinality as i (kind, store, bucket, key, version, ord, listing, uploader, claimed, n) order by n
  loop
    select * into seen from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    select * into unnamed from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, 'null')
      and (e.version = 'null' or (e.kind = 'created' and has_no_id(e.version)));
    select * into photo from photos p
    where (p.store, p.bucket, p.key, p.version) = (e.store, e.bucket, e.key, e.version);
    named := true;
    if e.kind = 'created' and e.version = '' and e.ord is null then
      select * into told from photos p
      where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state <> 'failed'
      order by p.id desc limit 1;
      if found then
        named := told.version = '';
        photo := told;
        e.version := told.version;
      end if;
    end if;
    photo_id := photo.id;

    if e.kind = 'removed' and e.version not in ('', 'null') then
      insert into object_order (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, e.version, e.ord, true) on conflict do nothing;
      outcome := case when found then 'removed' else 'duplicate' end;
      perform withdraw_photos(e.store, e.bucket, e.key, e.version, null);
      if outcome = 'removed' then
        update photos p set superseded_at = case when p.decided_by like 'moderator:%' then now() end, lane = 'live'
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state = 'shown'
          and has_no_id(p.version);
        insert into unqueued (photo_id)
        select p.id from photos p
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state = 'shown'
          and has_no_id(p.version)
        on conflict do nothing;
      end if;
    elsif order_key(e.ord, p_pad) <= order_key(seen.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(seen.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif order_key(e.ord, p_pad) <= order_key(unnamed.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(unnamed.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif e.kind = 'removed' and e.version = 'null' then
      outcome := 'removed';
      photo_id := withdraw_photos(e.store, e.bucket, e.key, 'null', null);
      insert into object_order as o (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, 'null', e.ord, true)
      on conflict on constraint object_order_pkey do update set latest = coalesce(excluded.latest, o.latest);
    elsif e.kind = 'removed' then
      outcome := case when seen.removed then 'known' else 'removed' end;
      photo_id := withdraw_photos(e.store, e.bucket, e.key, '', null);
    elsif exists (
      select from object_order o
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, e.version) and e.version <> ''
    ) then
      outcome := 'stale';
    else
      outcome := case when photo.superseded_at is null and photo.state <> 'failed' then 'known' else 'accepted' end;
      select * into told from photos p
      where (p.store, p.bucket, p.key, p.version) = (e.store, e.bucket, e.key, '') and p.superseded_at is null;
      insert into photos as p (store, bucket, key, version, listing, uploader, claimed)
      values (e.store, e.bucket, e.key, e.version, coalesce(e.listing, told.listing), coalesce(e.uploader, told.uploader),
        coalesce(e.claimed, told.claimed))
      on conflict on constraint photos_store_bucket_key_version_key do update
        set superseded_at = null,
            listing = coalesce(p.listing, excluded.listing),
            uploader = coalesce(p.uploader, excluded.uploader),
            claimed = coalesce(p.claimed, excluded.claimed)
      returning p.* into photo;
      photo_id := photo.id;
      perform withdraw_photos(e.store, e.bucket, e.key, '', photo.id);
      if photo.state in ('pending', 'failed') then
        insert into unqueued (photo_id) values (photo.id) on conflict do nothing;
      end if;
    end if;

    if outcome in ('accepted', 'known', 'removed') and (e.kind = 'created' or e.version = '') then
      update object_order o set latest = coalesce(e.ord, o.latest), removed = e.kind = 'removed'
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    end if;
    -- the caller knows of no version but the one that it gave
    queue := e.kind = 'created' and named and exists (select from unqueued u where u.photo_id = photo.id);
    return next;
  end loop;
end $$;

-- As before (migrations/0002_functions.sql), but that it says the version, which may be another one than was given: a plain
-- listing has no version ids, and what it gives the etag of does not replace a version or generation that an event named.
-- p_looked: before the caller asked the store for them; what was withdrawn or replaced since stays so. Null: they are there now.
-- Locks: as record_events, of the objects those that are new.
drop function register_photos(text[], text[], text[], text[], text[], text[], text[], text);
create function register_photos(
  p_store text[], p_bucket text[], p_key text[], p_version text[],
  p_listing text[], p_uploader text[], p_claimed text[], p_lane text, p_looked timestamptz default null
) returns table (id bigint, state text, version text, fresh boolean) language plpgsql as $$
#variable_conflict use_column
declare made object_order[];
begin
  -- of objects that nobody knows there is no photo to lock, so that whoever is told of them is waited for as in record_events
  with new as (
    insert into object_order as o (store, bucket, key)
    select distinct i.store, i.bucket, i.key from unnest(p_store, p_bucket, p_key) as i (store, bucket, key)
    where not exists (select from photos p where (p.store, p.bucket, p.key) = (i.store, i.bucket, i.key)) order by 1, 2, 3
    on conflict (store, bucket, key, version) do update set latest = o.latest where false returning o.*
  )
  select array_agg(n::object_order) into made from new n;
  -- in the order in which everybody locks photos, and not in that of their keys
  perform 1 from photos p
  where (p.store, p.bucket, p.key) in (select * from unnest(p_store, p_bucket, p_key)) order by p.id for update;
  -- "do update", not "do nothing": it locks the row, so a rival's uncommitted one is waited for and returned
  return query
  with input as (
    select u.store, u.bucket, u.key, coalesce(c.version, u.version) as version, u.listing, u.uploader, u.claimed, u.n
    from unnest(p_store, p_bucket, p_key, p_version, p_listing, p_uploader, p_claimed)
      with ordinality as u (store, bucket, key, version, listing, uploader, claimed, n)
    left join lateral (
      select p.version from photos p
      where (p.store, p.bucket, p.key) = (u.store, u.bucket, u.key) and p.superseded_at is null
        and (p.registered_at > p_looked
          or (u.store = 's3' and u.version like 'etag:%' and p.version <> '' and p.version not like 'etag:%'))
      order by p.id desc limit 1
    ) c on true
  ), one_each as (
    select distinct on (store, bucket, key, version) * from input order by store, bucket, key, version, n
  ), written as (
    insert into photos as p (store, bucket, key, version, listing, uploader, claimed, lane)
    select o.store, o.bucket, o.key, o.version, o.listing, o.uploader, o.claimed, p_lane
    from one_each o order by o.store, o.bucket, o.key, o.version
    on conflict on constraint photos_store_bucket_key_version_key do update
      set superseded_at = case when p.superseded_at > p_looked then p.superseded_at end,
          listing = coalesce(p.listing, excluded.listing),
          uploader = coalesce(p.uploader, excluded.uploader),
          claimed = coalesce(p.claimed, excluded.claimed)
    returning p.id, p.state, p.store, p.bucket, p.key, p.version, p.superseded_at, (p.xmax = 0) as fresh
  ), superseded as (
    update photos p set superseded_at = now()
    from written w
    where p.superseded_at is null and w.superseded_at is null
      and (p.store, p.bucket, p.key) = (w.store, w.bucket, w.key) and p.version <> w.version
      and not exists (select from one_each o where (o.store, o.bucket, o.key, o.version) = (p.store, p.bucket, p.key, p.version))
  )
  select w.id, w.state, w.version, w.fresh
  from input i join written w using (store, bucket, key, version)
  order by i.n;
  -- the rows were only to be waited for: an archive must not leave one for each of its objects
  delete from object_order o using unnest(made) m
  where (o.store, o.bucket, o.key, o.version) = (m.store, m.bucket, m.key, m.version);
end $$;

-- Forgets that photos had to be queued, once a queue holds them. Waits for nobody, so that it is in no deadlock: what others
-- hold, such as a photo that an event withdraws, is at worst queued once more.
create function mark_queued(p_photo_ids bigint[]) returns void language sql as $$
  delete from unqueued where photo_id in (
    select photo_id from unqueued where photo_id = any (p_photo_ids) for update skip locked);
$$;

-- Who may use the API. A token is random enough that its plain hash tells nothing of it.
create table tokens (
  id         text primary key,
  name       text not null,
  hash       bytea not null,
  scopes     text[] not null check (scopes <@ array['ingest', 'read', 'operate', 'review']),
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
comment on table tokens is 'Who may use the API; the tokens themselves are nowhere.';
-- history knows people by their names
create unique index tokens_name on tokens (name) where revoked_at is null;

-- What was answered to a request with an Idempotency-Key, so that the same request has the same answer for a day. The key is
-- taken before the request is handled, so that of two bodies at once only one is.
create table idempotent_answers (
  token_id    text not null references tokens on delete cascade,
  key         text not null,
  request     bytea not null,
  status      integer,
  answer      jsonb,
  answered_at timestamptz not null default now(),
  primary key (token_id, key),
  check ((status is null) = (answer is null))
);
comment on column idempotent_answers.answer is 'Null: nothing was answered yet';
comment on column idempotent_answers.answered_at is 'While nothing was: when the key was taken';
comment on column idempotent_answers.request is 'SHA-256 of the body: another body under the same key is a mistake';
create index idempotent_answers_answered on idempotent_answers (answered_at);

-- What grant_roles gave until now, and then what is new here; it is called by the same name.
alter function grant_roles(text) rename to grant_roles_before_events;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  perform grant_roles_before_events(p_queue_schema);
  if to_regrole('maitred_worker') is not null then
    grant select, insert, update on object_order to maitred_worker;
    grant select, insert, update, delete on unqueued to maitred_worker;
    grant select on tokens to maitred_worker;
    grant select, insert, update, delete on idempotent_answers to maitred_worker;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      alter table object_order owner to maitred_migrator;
      alter table unqueued owner to maitred_migrator;
      alter table tokens owner to maitred_migrator;
      alter table idempotent_answers owner to maitred_migrator;
      alter function order_key(text, text) owner to maitred_migrator;
      alter function record_events(jsonb, text) owner to maitred_migrator;
      alter function has_no_id(text) owner to maitred_migrator;
      alter function withdraw_photos(text, text, text, text, bigint) owner to maitred_migrator;
      alter function mark_queued(bigint[]) owner to maitred_migrator;
      alter function grant_roles_before_events(text) owner to maitred_migrator;
      -- the queue's, too, or its members could neither migrate it nor take out of it what is forgotten
      if to_regnamespace(p_queue_schema) is not null then
        for thing in
          select format('schema %I', nspname) from pg_namespace
          where nspname = p_queue_schema and nspowner <> 'maitred_migrator'::regrole
          union all select case relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass from pg_class c
          where relnamespace = to_regnamespace(p_queue_schema) and relkind in ('r', 'S') and relowner <> 'maitred_migrator'::regrole
            -- that of a column goes with its table
            and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i') and relkind = 'S')
          union all select 'routine ' || oid::regprocedure from pg_proc
          where pronamespace = to_regnamespace(p_queue_schema) and proowner <> 'maitred_migrator'::regrole
          union all select 'type ' || oid::regtype from pg_type
          where typnamespace = to_regnamespace(p_queue_schema) and typtype = 'e' and typowner <> 'maitred_migrator'::regrole
        loop
          execute format('alter %s owner to maitred_migrator', thing);
        end loop;
      end if;
    exception
      when insufficient_privilege then
        raise notice 'the tables of the intake stay with %: only an administrator may give them to maitred_migrator', current_user;
    end;
  end if;
end $$;
