-- Up Migration

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

create view hourly_counts as
  select date_trunc('hour', decided_at) as hour, state as verdict, category, decided_by as model, failure as code, count(*) as photos
  from photos where decided_at is not null and superseded_at is null
  group by 1, 2, 3, 4, 5;
comment on view hourly_counts is 'Photos by the hour of their current verdict.';
comment on column hourly_counts.hour is 'Start of the hour';
comment on column hourly_counts.verdict is 'shown, hidden, review or failed';
comment on column hourly_counts.category is 'Most probable category; null for failed photos';
comment on column hourly_counts.model is 'Who decided: model:NAME or moderator:NAME';
comment on column hourly_counts.code is 'Failure code; null for judged photos';
comment on column hourly_counts.photos is 'How many';

-- Gives the three roles what they need, as far as they exist; maitred migrate calls it each time, so roles made
-- later get theirs. p_queue_schema: where the queue's tables are, if they are in this database.
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  if to_regrole('maitred_worker') is not null then
    grant select, insert, update on photos to maitred_worker;
    grant select, insert, update, delete on tags to maitred_worker;
    grant select, insert on verdicts to maitred_worker;
    grant select on pgmigrations, public_photos, photo_tags, failed_photos, hourly_counts to maitred_worker;
    if to_regnamespace(p_queue_schema) is not null then
      execute format('grant usage on schema %I to maitred_worker', p_queue_schema);
      execute format('grant all on all tables in schema %I to maitred_worker', p_queue_schema);
      execute format('grant all on all sequences in schema %I to maitred_worker', p_queue_schema);
    end if;
  end if;
  if to_regrole('maitred_dashboard') is not null then
    grant select on public_photos, photo_tags, failed_photos, hourly_counts to maitred_dashboard;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      grant create, usage on schema public to maitred_migrator;
      for thing in
        select format('table %I', relname) from pg_class
        where relnamespace = 'public'::regnamespace and relname in ('photos', 'tags', 'verdicts', 'pgmigrations')
        union all select format('view %I', viewname) from pg_views where schemaname = 'public'
          and viewname in ('public_photos', 'photo_tags', 'failed_photos', 'hourly_counts')
        union all select 'function ' || oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace
          and proname in ('register_photos', 'record_verdicts', 'refuse_change', 'grant_roles')
      loop
        execute format('alter %s owner to maitred_migrator', thing);
      end loop;
    exception
      when insufficient_privilege then
        raise notice 'the tables stay with %: only an administrator may give them to maitred_migrator', current_user;
    end;
  end if;
end $$;
