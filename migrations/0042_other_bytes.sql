-- Up Migration

-- As in 0039_same_etag.sql, but that most failures have the digest of their bytes, also where these had killed a worker.
-- What these items say of other bytes than were judged before, of photos that are known by their etag or by size and time of their file, so that
-- of two photos that share these the one counts that is not to be shown:
--   - what is shown, and would not be with these bytes, is pending from here on, also where a moderator had shown the others;
--   - of the rest history says which bytes it is of now: bytes_of is what a moderator sees who shows or hides it.
-- A failure of other bytes counts whatever it is, also one that may pass, as nobody could look at them. Where the digest of either is not known, known
-- bytes that a model could read and a moderator showed, and what is refused now that an upload or a touched file had it looked at, are taken for two
-- photos, and so is what a model showed and what kills workers now, or the same model would not show; of what a backfill is refused nothing is known
-- then. Its caller has locked the photos. Each is looked up by itself, whatever the planner knows of the tables.
create or replace function forget_other_bytes(p_items jsonb) returns void language plpgsql as $$
declare ids bigint[];
begin
  with other as materialized (
    select i.*, coalesce(i.digest, i."copyOf") as bytes, p.state, p.decided_by, p.policy as decided_policy
    from (
      -- of one that is there twice, the one that counts
      select distinct on (r.id) r.* from jsonb_to_recordset(p_items) as r (
        id bigint, verdict text, category text, human real, scores jsonb, by text, policy text, batch text, digest bytea, "copyOf" bytea,
        rendition boolean, stored boolean, fed boolean, backfill bigint, failure text, transient boolean, refused bytea)
      order by r.id, r.fed is true, r.rendition is true) i
    cross join lateral (select * from photos where id = i.id offset 0) p
    cross join lateral (select bytes_of(p.id) as bytes offset 0) b
    where i.stored is not true and i.rendition is not true
      and (p.version like 'etag:%' or p.store = 'folder') and p.state in ('shown', 'hidden', 'review')
      and case when i.verdict = 'failed' and (i.refused is null or b.bytes is null) then
        i.fed is not true and i.backfill is null and i.failure <> 'GONE' and (not i.transient or i.failure = 'WORKER_CRASHED')
        and (b.bytes is not null or i.transient and p.decided_by like 'model:%')
      else
        -- what is only proposed changes nothing, nor what commit_verdicts leaves to a later try of its run: see record_verdicts
        case
          when i.backfill is not null then not (select b.propose from backfills b where b.id = i.backfill)
          when i.fed then exists (
            select from backfill_photos w join backfills b on b.id = w.backfill_id
            where w.photo_id = p.id and not b.propose and (settles(i.by, b.model) or b.state = 'cancelled') offset 0)
          else true end
        and case when b.bytes is not null then b.bytes <> coalesce(i.digest, i."copyOf", i.refused)
          else p.decided_by = i.by and p.policy = i.policy and i.fed is not true and i.backfill is null and p.state = 'shown' and i.verdict <> 'shown' end
        -- the digest of a rendition says nothing of the photo
        and exists (
          select from verdicts v
          where v.photo_id = p.id and v.scores is not null and v.rendition is not true and v.batch is not null offset 0)
      end
      and case when i.verdict = 'failed' then
        p.state = 'shown' and (p.decided_by like 'moderator:%' or i.transient)
        -- what a moderator showed although it had failed stays
        and (select v.scores is not null and v.rendition is not true from verdicts v
          where v.photo_id = p.id and v.decided_by like 'model:%' order by v.id desc limit 1)
      else true end
  ), noted as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, digest)
    select o.id, o.state, 'uploaded-again', 'other bytes took the place of those that were judged, and it stays as it is',
      o.category, o.human, o.scores, o.by, o.policy, o.batch, o.bytes
    from other o
    where (o.state <> 'shown' or o.verdict = 'shown')
      -- of others commit_verdicts writes what was said
      and (o.decided_by like 'moderator:%' or (o.decided_by, o.decided_policy) = (o.by, o.policy))
    order by o.id
  )
  select array_agg(o.id) into ids from other o where o.state = 'shown' and o.verdict <> 'shown';
  if ids is null then
    return;
  end if;
  delete from tags t where t.photo_id = any (ids);
  update photos p
  set state = 'pending', category = null, human = null, rule = 'uploaded-again', reason = 'other bytes took the place of those that were judged',
      failure = null, decided_by = null, policy = null, decided_at = null
  where p.id = any (ids);
end $$;

alter table object_order add column if not exists deleted_at timestamptz;
comment on column object_order.deleted_at is 'When somebody told, without an order, that it is deleted; null once an event with an order says that it is uploaded again';

-- As in 0022_clocks.sql, but that what was uploaded before somebody told, without an order, that it is deleted brings nothing back, however late
-- its event comes. The clock of the store may differ by a second; where it is further behind, the next sweep finds what was uploaded meanwhile.
create or replace function record_events(p_events jsonb, p_pad text, p_erase boolean default false)
returns table (photo_id bigint, outcome text, queue boolean) language plpgsql as $$
declare
  e record;
  seen object_order;
  unnamed object_order;
  photo photos;
  before photos;
  named boolean;
  late interval;
  outrun boolean;
  again boolean;
  single boolean;
  replay boolean;
begin
  -- of rivals that speak of one object, each waits here for the one before it, and then sees what that one committed;
  -- nothing is updated, only locked, and made anew where who was waited for has forgotten the object
  insert into object_order as o (store, bucket, key)
  select distinct i.store, i.bucket, i.key
  from jsonb_to_recordset(p_events) as i (store text, bucket text, key text) order by 1, 2, 3
  on conflict (store, bucket, key, version) do update set latest = o.latest where false;
  perform 1 from photos where id = any (array(
    select p.id from (select distinct i.store, i.bucket, i.key from jsonb_to_recordset(p_events) as i (store text, bucket text, key text)) i
    cross join lateral (select id from photos where (store, bucket, key) = (i.store, i.bucket, i.key) offset 0) p))
  order by id for update;

  for e in
    select * from rows from (jsonb_to_recordset(p_events) as (
      kind text, store text, bucket text, key text, version text, ord text, listing text, uploader text, claimed text, told timestamptz
    )) with ordinality as i (kind, store, bucket, key, version, ord, listing, uploader, claimed, told, n) order by n
  loop
    if e.told > now() then
      e.told := now();
    end if;
    select * into seen from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    select * into unnamed from object_order o
    where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, 'null')
      and (e.version = 'null' or (e.kind = 'created' and has_no_id(e.version)));
    select * into before from photos p
    where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null order by p.id desc limit 1;
    select * into photo from photos p
    where (p.store, p.bucket, p.key, p.version) = (e.store, e.bucket, e.key, e.version);
    named := true;
    if e.kind = 'created' and e.version = '' and e.ord is null and before.state <> 'failed' then
      named := before.version = '';
      photo := before;
      e.version := before.version;
    end if;
    photo_id := photo.id;
    replay := false;
    -- that is of one upload, or of the object as a whole; an etag may come again
    single := case when e.kind = 'created' then e.version <> 'null' and not has_no_id(e.version) else e.version = '' end;
    -- how much earlier it was said than what is known: of events that have an order that says which is the later
    late := case when e.ord is null and e.told is not null then coalesce(seen.told - e.told, '0') else '0' end;
    -- Of what was told without an order nothing but clocks tell, which may differ by a second: an event is old where its photo was withdrawn, or
    -- what is current first told of, after it was said. When that was told is the earlier of two times that are never too early: of what was
    -- said last, which telling again moves, and of its row, which a queue delays. To an upload what has no version does not count, as its event
    -- is to name it, nor what has no verdict and no version id, as it may be a wrong name for the same bytes.
    outrun := e.ord is not null and (seen.latest is null or seen.overtaken is not null) and (seen.removed or before.id is not null) and (
      (e.kind = 'created' and photo.superseded_at is not null and least(photo.superseded_at, seen.told) > e.told + interval '1 second')
      or (least(seen.told, greatest(before.registered_at, before.revived_at)) > e.told + interval '1 second' and seen.told is not null
        and case when e.kind = 'created'
          then before.version not in ('', e.version) and (before.state not in ('pending', 'failed') or not has_no_id(before.version))
          else e.version = '' or has_no_id(before.version) end));

    if e.kind = 'removed' and e.version not in ('', 'null') then
      insert into object_order as o (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, e.version, e.ord, true)
      on conflict on constraint object_order_pkey do update set latest = excluded.latest, removed = true where not o.removed;
      outcome := case when found then 'removed' else 'duplicate' end;
      replay := withdraw_photos(e.store, e.bucket, e.key, e.version, null) is not null;
      if outcome = 'removed' then
        with looked_at as (
          update photos p set superseded_at = case when p.decided_by like 'moderator:%' then now() end, lane = 'live'
          where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null
            and (p.state in ('shown', 'review') or (p.state = 'hidden' and p.decided_by like 'model:%')) and has_no_id(p.version)
          returning p.id, p.superseded_at
        )
        insert into unqueued (photo_id) select l.id from looked_at l where l.superseded_at is null on conflict do nothing;
      end if;
    elsif order_key(e.ord, p_pad) <= order_key(seen.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(seen.latest, p_pad) then 'duplicate' else 'stale' end;
      -- what was told by its key alone has failed where its version is another by now
      replay := outcome = 'stale' and single and (e.version = before.version or (before.version = '' and before.state = 'failed'));
    elsif order_key(e.ord, p_pad) <= order_key(unnamed.latest, p_pad) then
      outcome := case when order_key(e.ord, p_pad) = order_key(unnamed.latest, p_pad) then 'duplicate' else 'stale' end;
    elsif outrun then
      outcome := 'stale';
      -- the event of an etag never says that what took the place of this was the earlier one, as it may be of another upload
      if (case when before.version is null or before.version = '' then single
        else not has_no_id(before.version) and (single or e.kind = 'created') end) then
        update object_order o set latest = e.ord, overtaken = e.version
        where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
      end if;
      -- the store's clock may be slow. To drop what counts does the least harm: a worker sees that what is shown has other bytes by now, or none,
      -- and the next sweep finds the rest. To act on what does not count publishes other bytes, or withdraws what nobody can bring back
      with shown as (
        update photos p set lane = 'live'
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is null and p.state = 'shown' returning p.id
      )
      insert into unqueued (photo_id) select id from shown on conflict do nothing;
    elsif e.kind = 'created' and e.ord is not null and seen.deleted_at > e.told + interval '1 second' then
      outcome := 'stale';
    elsif e.kind = 'removed' and late > interval '1 minute' then
      outcome := 'stale';
    elsif e.kind = 'removed' and e.version = 'null' then
      outcome := 'removed';
      photo_id := withdraw_photos(e.store, e.bucket, e.key, 'null', null);
      insert into object_order as o (store, bucket, key, version, latest, removed)
      values (e.store, e.bucket, e.key, 'null', e.ord, true)
      on conflict on constraint object_order_pkey do update set latest = coalesce(excluded.latest, o.latest);
      update object_order o set overtaken = null
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '') and o.overtaken <> '' and has_no_id(o.overtaken);
    elsif e.kind = 'removed' then
      outcome := case when seen.removed then 'known' else 'removed' end;
      photo_id := withdraw_photos(e.store, e.bucket, e.key, '', null);
    elsif exists (
      select from object_order o
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, e.version) and e.version <> ''
        -- of what is kept a handler tells that it was not that old
        and (o.removed or (e.ord is null and e.told is not null and e.version is distinct from seen.overtaken
          and (seen.latest is not null or coalesce(e.told < o.told + interval '1 second', true))))
    ) then
      outcome := 'stale';
    elsif e.told is not null and e.ord is null and photo.superseded_at is not null and (
      -- one clock is not the other
      greatest(photo.superseded_at - e.told, late) > interval '1 second'
      or (e.version <> '' and coalesce(seen.latest, unnamed.latest) is not null)
      or (photo.state = 'shown' and photo.decided_by like 'moderator:%')) then
      outcome := 'stale';
      update photos p set listing = coalesce(p.listing, e.listing), uploader = coalesce(p.uploader, e.uploader),
        claimed = coalesce(p.claimed, e.claimed)
      where p.id = photo.id;
    elsif photo.id is null and e.version <> '' and late > interval '1 minute' and (seen.removed or before.id is not null) then
      outcome := 'stale';
      if e.version = seen.overtaken then
        insert into photos (store, bucket, key, version, listing, uploader, claimed, superseded_at)
        values (e.store, e.bucket, e.key, e.version, e.listing, e.uploader, e.claimed, now())
        on conflict do nothing returning id into photo_id;
      end if;
    else
      again := photo.superseded_at is not null;
      if again and e.version = '' then
        perform forget_bytes(array[photo.id]);
        select * into photo from photos p where p.id = photo.id;
      end if;
      outcome := case when photo.superseded_at is null and photo.state <> 'failed' then 'known' else 'accepted' end;
      insert into photos as p (store, bucket, key, version, listing, inherited, uploader, claimed)
      values (e.store, e.bucket, e.key, e.version, coalesce(e.listing, before.listing),
        e.listing is null and before.listing is not null and (before.version <> '' or before.inherited),
        -- these are of bytes
        coalesce(e.uploader, case when before.version = '' then before.uploader end),
        coalesce(e.claimed, case when before.version = '' then before.claimed end))
      on conflict on constraint photos_store_bucket_key_version_key do update
        set superseded_at = null,
            revived_at = case when p.superseded_at is null or p.version = '' then p.revived_at else clock_timestamp() end,
            listing = case when p.inherited or late <= interval '1 second' and excluded.inherited is not true then coalesce(excluded.listing, p.listing)
              else coalesce(p.listing, excluded.listing) end,
            inherited = case when p.inherited or p.listing is null then excluded.inherited else false end,
            uploader = case when late > interval '1 second' then coalesce(p.uploader, excluded.uploader)
              else coalesce(excluded.uploader, p.uploader) end,
            claimed = coalesce(p.claimed, excluded.claimed)
      returning p.* into photo;
      photo_id := photo.id;
      perform withdraw_photos(e.store, e.bucket, e.key, '', photo.id);
      if e.told is not null and (e.ord is null or seen.latest is null) and photo.state = 'shown' and again then
        -- nothing tells whether its bytes are those of today: a worker looks
        update photos p set lane = 'live' where p.id = photo.id;
        insert into unqueued (photo_id) values (photo.id) on conflict do nothing;
      elsif photo.state in ('pending', 'failed') then
        insert into unqueued (photo_id) values (photo.id) on conflict do nothing;
      end if;
    end if;

    if outcome in ('accepted', 'known', 'removed') and (e.kind = 'created' or e.version = '') then
      update object_order o set latest = coalesce(e.ord, o.latest), removed = e.kind = 'removed',
        told = greatest(o.told, coalesce(e.told, now())),
        deleted_at = case when e.kind = 'created' and e.ord is not null then null
          when e.kind = 'removed' and e.ord is null then greatest(o.deleted_at, e.told) else o.deleted_at end,
        overtaken = case when e.kind = 'created' and e.ord is null and e.told is not null and e.version is distinct from o.overtaken then
          case when o.overtaken is not null or o.latest is null or not single or e.version = before.version then o.overtaken
            when o.removed then '' else nullif(before.version, '') end end
      where (o.store, o.bucket, o.key, o.version) = (e.store, e.bucket, e.key, '');
    elsif outcome = 'stale' and single and e.kind = 'created' and e.ord is not null and photo.id is null then
      -- its handler, when it is late, is not to bring it back
      insert into object_order (store, bucket, key, version) values (e.store, e.bucket, e.key, e.version) on conflict do nothing;
    end if;
    if replay and seen.overtaken is not null then
      -- as a sweep would, as no clock counts any more
      perform record_events(jsonb_build_array(jsonb_build_object('store', e.store, 'bucket', e.bucket, 'key', e.key, 'version', seen.overtaken,
        'kind', case seen.overtaken when '' then 'removed' else 'created' end)), p_pad, p_erase);
    end if;
    if p_erase and e.kind = 'removed' and (outcome <> 'duplicate' or e.version not in ('', 'null')) then
      with erased as (
        delete from photos p
        where (p.store, p.bucket, p.key) = (e.store, e.bucket, e.key) and p.superseded_at is not null
          and (e.version in ('', p.version) or (e.version = 'null' and has_no_id(p.version)))
          and (outcome <> 'stale' or p.registered_at < e.told)
        returning p.version
      )
      insert into object_order (store, bucket, key, version, told)
      select e.store, e.bucket, e.key, d.version, coalesce(e.told, now()) from erased d where not has_no_id(d.version)
      on conflict on constraint object_order_pkey do update set told = excluded.told;
    end if;
    -- the caller knows of no version but the one that it gave
    queue := e.kind = 'created' and named and exists (select from unqueued u where u.photo_id = photo.id);
    return next;
  end loop;
end $$;

-- As in 0031_review_passes.sql, but that a message is searched for an object's spellings, some hundred, only where it has all parts of its key that every
-- spelling leaves as they are: beside 50,000 messages to forget an object took six seconds.
create or replace function forget_objects(p_objects jsonb, p_by text) returns table (what text, count bigint) language plpgsql set jit = off as $$
declare
  ids bigint[];
  gone bigint;
  counts jsonb := '{}';
  made bigint;
begin
  -- also of objects that nobody was told of yet: who is told of them meanwhile waits, and makes them known again
  with new as (
    insert into object_order as o (store, bucket, key)
    select distinct i.store, i.bucket, i.key
    from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text) order by 1, 2, 3
    on conflict (store, bucket, key, version) do update set latest = o.latest where false returning 1
  )
  select count(*) into made from new;
  perform 1 from object_order o
  where (o.store, o.bucket, o.key) in (
    select i.store, i.bucket, i.key from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text))
  order by o.store, o.bucket, o.key, o.version for update;
  select coalesce(array_agg(locked.id), '{}') into ids from (
    select p.id from photos p
    where (p.store, p.bucket, p.key) in (
      select i.store, i.bucket, i.key from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text))
    order by p.id for update) locked;

  -- one block a table: what it deletes, and its name among the counts
  delete from reviews r where r.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('reviews', gone);

  delete from verdicts v where v.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('verdicts', gone);

  delete from tags t where t.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('tags', gone);

  delete from shadow_scores s where s.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('shadow_scores', gone);

  delete from appeals a where a.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('appeals', gone);

  delete from review_decisions d where d.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('review_decisions', gone);

  delete from review_claims c where c.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('review_claims', gone);

  delete from review_passes s where s.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('review_passes', gone);

  delete from unqueued u where u.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('unqueued', gone);

  delete from backfill_photos b where b.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfill_photos', gone);

  delete from backfill_changes b where b.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfill_changes', gone);

  delete from proposals s where s.photo_id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('proposals', gone);

  -- these go by the trigger of photos, which knows who is being told something at this moment
  select count(*) into gone from outbox o where o.photo_id = any (ids) and o.kind <> 'photo.forgotten';
  counts := counts || jsonb_build_object('outbox', gone);
  select count(*) into gone from deliveries d join outbox o using (seq)
  where o.photo_id = any (ids) and o.kind <> 'photo.forgotten';
  counts := counts || jsonb_build_object('deliveries', gone);

  -- a message that nobody understood may be JSON, or JSON within JSON
  with objects as materialized (
    select i.bucket, i.spellings, array(
      select '%' || m[1] || '%' from regexp_matches(i.key, '[A-Za-z0-9.-]+', 'g') m order by length(m[1]) desc) as parts
    from jsonb_to_recordset(p_objects) as i (bucket text, key text, spellings jsonb)
  )
  delete from bad_messages m using (select id, body || '' as body from bad_messages offset 0) b
  where m.id = b.id and exists (
    select from objects i
    where case when b.body like all (i.parts) and strpos(b.body, i.bucket) > 0 then exists (
      select from jsonb_array_elements_text(i.spellings) w (key)
      where strpos(b.body, '"' || w.key || '"') > 0 or strpos(b.body, '"' || w.key || '\"') > 0
        or strpos(b.body, '"' || i.bucket || '/' || w.key || '"') > 0) end);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('bad_messages', gone);

  -- an answer tells of one photo, or of a list of them
  delete from idempotent_answers a
  where cardinality(ids) > 0 and exists (
      select from jsonb_path_query(a.answer, 'lax $.**.id') i (id) where i.id #>> '{}' = any (ids::text[]));
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('idempotent_answers', gone);

  -- a backfill or a sweep that stands at this very key begins anew; one that was of it alone, and has ended, does not name it any more
  update backfills b
  set cursor = null,
      what = case when b.ended_at is not null and b.what ->> 'prefix' = i.key then b.what || '{"prefix": "(forgotten)"}' else b.what end
  from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text)
  where i.store = 's3' and b.what ->> 'bucket' = i.bucket
    and (b.cursor ->> 'after' = i.key or b.ended_at is not null and b.what ->> 'prefix' = i.key);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('backfills', gone);

  update sweeps s set cursor = '', prefix = case when s.state <> 'running' and s.prefix = i.key then '(forgotten)' else s.prefix end
  from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text)
  where i.store = 's3' and s.bucket = i.bucket and (s.cursor = i.key or s.state <> 'running' and s.prefix = i.key);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('sweeps', gone);

  delete from object_order o
  where (o.store, o.bucket, o.key) in (
    select i.store, i.bucket, i.key from jsonb_to_recordset(p_objects) as i (store text, bucket text, key text));
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('object_order', gone - made);

  delete from photos p where p.id = any (ids);
  get diagnostics gone = row_count;
  counts := counts || jsonb_build_object('photos', gone);

  if exists (select from jsonb_each_text(counts) c where c.value <> '0') then
    insert into erasures (by, counts) values (p_by, counts);
    insert into audit_log (who, did, about) values (p_by, 'forgot', jsonb_build_object('counts', counts));
  end if;
  return query
    select c.key, c.value::bigint from jsonb_each_text(counts) c
    union all select 'photo ' || i.id, 1::bigint from unnest(ids) i (id);
end $$;
