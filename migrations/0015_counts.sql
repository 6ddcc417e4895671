-- Up Migration

-- Counts for dashboards that are right at every moment and never make two workers wait for each other. Whoever changes a
-- photo, a verdict or a review adds rows to a table of changes, by a trigger, in the same transaction: +1 here, -1 there.
-- fold_rollups moves them into the counts; the views of the next file add what is not folded yet.
create table rollups (
  one       boolean primary key default true check (one),
  built_at  timestamptz,
  folded_at timestamptz
);
comment on table rollups is 'One row: since when the counts are complete, and when changes were last folded into them. Locked by whoever folds.';
insert into rollups (built_at) values (now());

-- Hours and days are of UTC, whatever the session's time zone.
create function hour_of(p_at timestamptz) returns timestamptz immutable parallel safe language sql as $$
  select date_trunc('hour', p_at at time zone 'UTC') at time zone 'UTC'
$$;
create function day_of(p_at timestamptz) returns date immutable parallel safe language sql as $$
  select (p_at at time zone 'UTC')::date
$$;
-- Which twentieth of 0 to 1 a score is in: 0 to 19.
create function bucket_of(p_score double precision) returns smallint immutable parallel safe language sql as $$
  select greatest(0, least(19, floor(p_score * 20)))::smallint
$$;

-- Of current photos with a verdict or a failure. '' stands for null, which no key may have.
create table rollup_hours (
  hour     timestamptz not null,
  verdict  text not null,
  rule     text not null,
  category text not null,
  model    text not null,
  code     text not null,
  photos   bigint not null,
  primary key (hour, verdict, rule, category, model, code)
) with (fillfactor = 80);
create table rollup_days (
  day      date not null,
  verdict  text not null,
  rule     text not null,
  category text not null,
  model    text not null,
  code     text not null,
  photos   bigint not null,
  primary key (day, verdict, rule, category, model, code)
) with (fillfactor = 80);
-- Of those among them whose listing is known.
create table rollup_listings (
  listing  text not null,
  verdict  text not null,
  category text not null,
  photos   bigint not null,
  primary key (listing, verdict, category)
) with (fillfactor = 80);
-- Of scores that models gave to uploads: what a backfill judges again would hide how uploads change.
create table rollup_scores (
  day    date not null,
  model  text not null,
  score  text not null,
  bucket smallint not null,
  photos bigint not null,
  primary key (day, model, score, bucket)
) with (fillfactor = 80);
create table rollup_reviews (
  day            date not null,
  moderator      text not null,
  audit          boolean not null,
  model          text not null,
  model_verdict  text not null,
  model_rule     text not null,
  model_category text not null,
  verdict        text not null,
  category       text not null,
  human          text not null,
  reviews        bigint not null,
  primary key (day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human)
) with (fillfactor = 80);

-- Without an index but one: they are only added to at the end, and read as a whole, or of one listing. Vacuumed often, since they are emptied often.
create table rollup_hours_changes (like rollup_hours)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0);
create table rollup_listings_changes (like rollup_listings)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0);
create index rollup_listings_changes_listing on rollup_listings_changes (listing);
create table rollup_scores_changes (like rollup_scores)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0);
create table rollup_reviews_changes (like rollup_reviews)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0);

-- The triggers. They are the owner's, so that whoever changes a photo needs no right to the counts. An update may be of
-- many photos; that a photo is added with a verdict, or deleted, is rare, and a pending one costs nothing.
create function count_changed_photos() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if not exists (select from after where state <> 'pending') and not exists (select from before where state <> 'pending') then
    return null;
  end if;
  with moved as materialized (
    select 1 as n, decided_at, state, rule, category, decided_by, failure, listing
    from after where state <> 'pending' and superseded_at is null
    union all
    select -1, decided_at, state, rule, category, decided_by, failure, listing
    from before where state <> 'pending' and superseded_at is null
  ), hours as (
    insert into rollup_hours_changes (hour, verdict, rule, category, model, code, photos)
    select hour_of(decided_at), state, coalesce(rule, ''), coalesce(category, ''), coalesce(decided_by, ''), coalesce(failure, ''), sum(n)
    from moved group by 1, 2, 3, 4, 5, 6 having sum(n) <> 0
  )
  insert into rollup_listings_changes (listing, verdict, category, photos)
  select listing, state, coalesce(category, ''), sum(n)
  from moved where listing is not null group by 1, 2, 3 having sum(n) <> 0;
  return null;
end $$;

create function count_photo() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
  p photos := case tg_op when 'INSERT' then new else old end;
  n integer := case tg_op when 'INSERT' then 1 else -1 end;
begin
  insert into rollup_hours_changes (hour, verdict, rule, category, model, code, photos)
  values (hour_of(p.decided_at), p.state, coalesce(p.rule, ''), coalesce(p.category, ''), coalesce(p.decided_by, ''), coalesce(p.failure, ''), n);
  if p.listing is not null then
    insert into rollup_listings_changes (listing, verdict, category, photos)
    values (p.listing, p.state, coalesce(p.category, ''), n);
  end if;
  return null;
end $$;

create function count_scores() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
  insert into rollup_scores_changes (day, model, score, bucket, photos)
  select s.day, s.model, s.score, s.bucket, count(*) from given g cross join lateral scores_of(g) s group by 1, 2, 3, 4;
  return null;
end $$;

create function uncount_scores() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
  insert into rollup_scores_changes (day, model, score, bucket, photos)
  select s.day, s.model, s.score, s.bucket, -1 from scores_of(old) s;
  return null;
end $$;

create function count_review() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
  r reviews := case tg_op when 'DELETE' then old else new end;
  n integer := case tg_op when 'DELETE' then -1 else 1 end;
begin
  insert into rollup_reviews_changes (day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, reviews)
  values (day_of(r.at), r.moderator, r.audit, coalesce(r.model, ''), coalesce(r.model_verdict, ''), coalesce(r.model_rule, ''),
    coalesce(r.model_category, ''), r.verdict, coalesce(r.category, ''), coalesce(r.human::text, ''), n);
  return null;
end $$;

-- Nothing is left to count. Whoever truncates has the table for themselves, and waits for whoever folds.
create function count_none() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform 1 from rollups for update;
  case tg_table_name
    when 'photos' then
      delete from rollup_hours;
      delete from rollup_days;
      delete from rollup_listings;
      delete from rollup_hours_changes;
      delete from rollup_listings_changes;
    when 'verdicts' then
      delete from rollup_scores;
      delete from rollup_scores_changes;
    when 'reviews' then
      delete from rollup_reviews;
      delete from rollup_reviews_changes;
  end case;
  return null;
end $$;

-- A trigger of somebody else's table would otherwise change counts with their owner's rights.
revoke execute on function count_changed_photos(), count_photo(), count_scores(), uncount_scores(), count_review(), count_none()
  from public;

create trigger photos_count_changed after update on photos
  referencing old table as before new table as after for each statement execute function count_changed_photos();
create trigger photos_count_added after insert on photos
  for each row when (new.state <> 'pending' and new.superseded_at is null) execute function count_photo();
create trigger photos_count_deleted after delete on photos
  for each row when (old.state <> 'pending' and old.superseded_at is null) execute function count_photo();
create trigger photos_count_none after truncate on photos for each statement execute function count_none();
create trigger verdicts_count_added after insert on verdicts
  referencing new table as given for each statement execute function count_scores();
create trigger verdicts_count_deleted after delete on verdicts for each row execute function uncount_scores();
create trigger verdicts_count_none after truncate on verdicts for each statement execute function count_none();
create trigger reviews_count_added after insert on reviews for each row execute function count_review();
create trigger reviews_count_deleted after delete on reviews for each row execute function count_review();
create trigger reviews_count_none after truncate on reviews for each statement execute function count_none();
