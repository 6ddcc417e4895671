-- Up Migration
-- Counts for dashboards that are right at every moment and never make two workers wait for each other. Whoever changes a
-- photo, a verdict or a review adds rows to a table of changes, by a trigger, in the same transaction: +1 here, -1 there.
-- fold_rollups moves them into the counts; the views add what is not folded yet. What is here reads no large table: maitred
-- migrate counts what there is already beside running workers, once this is committed; see src/store/rollups.ts.

-- In the order in which record_verdicts takes them, and all of them at first, so that nothing waits with one in hand.
lock table photos, verdicts in share row exclusive mode;
lock table reviews in access exclusive mode;

create table rollups (
  one       boolean primary key default true check (one),
  built_at  timestamptz,
  folded_at timestamptz
);
comment on table rollups is 'One row: since when the counts are complete, and when changes were last folded into them. Locked by whoever folds.';
insert into rollups default values;

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

-- What a review is counted by stands in its own row, so that it can be taken back when the history is gone already.
alter table reviews
  add column moderator text, add column at timestamptz, add column verdict text,
  add column model text, add column model_verdict text, add column model_rule text, add column model_category text;
comment on column reviews.at is 'When; with moderator and verdict a copy of its row in verdicts. Null in a row older than these columns, until maitred migrate has filled it';
comment on column reviews.model is 'Who had given the last verdict of a model before it (model_verdict, model_rule, model_category); null where none had';
drop trigger reviews_append_only on reviews;
create trigger reviews_append_only before update on reviews for each row when (old.at is not null) execute function refuse_change();

-- What reviews say beyond what moderators gave, from the history.
create function context_of_review(p_verdict_id bigint, p_photo_id bigint)
returns table (moderator text, at timestamptz, verdict text, model text, model_verdict text, model_rule text, model_category text)
stable language sql as $$
  select substr(v.decided_by, length('moderator:') + 1), v.decided_at, v.verdict, m.decided_by, m.verdict, m.rule, m.category
  from verdicts v
  left join lateral (
    select b.decided_by, b.verdict, b.rule, b.category from verdicts b
    where b.photo_id = p_photo_id and b.id < p_verdict_id and b.decided_by like 'model:%' and b.rule <> 'undo'
    order by b.id desc limit 1
  ) m on true
  where v.id = p_verdict_id
$$;

create function complete_review() returns trigger language plpgsql as $$
begin
  select c.* into new.moderator, new.at, new.verdict, new.model, new.model_verdict, new.model_rule, new.model_category
  from context_of_review(new.verdict_id, new.photo_id) c;
  return new;
end $$;
create trigger reviews_complete before insert on reviews for each row execute function complete_review();

-- Completes at most p_limit reviews that are older than these columns, whose id is above p_after. Returns the last id it
-- looked at; null when none is left.
create function complete_reviews(p_after bigint, p_limit integer) returns bigint language plpgsql as $$
declare ids bigint[];
begin
  ids := array(select verdict_id from reviews where verdict_id > p_after and at is null order by verdict_id limit p_limit for update);
  update reviews r
  set moderator = c.moderator, at = c.at, verdict = c.verdict, model = c.model, model_verdict = c.model_verdict,
      model_rule = c.model_rule, model_category = c.model_category
  from unnest(ids) i (id) join reviews k on k.verdict_id = i.id
  cross join lateral context_of_review(k.verdict_id, k.photo_id) c
  where r.verdict_id = i.id;
  return ids[cardinality(ids)];
end $$;

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

-- Of one verdict: its score of a human, and of its category. Nothing of a verdict that is no model's of an upload, nor of one
-- that stands again.
create function scores_of(v verdicts) returns table (day date, model text, score text, bucket smallint)
stable parallel safe language sql as $$
  select day_of(v.decided_at), v.decided_by, s.score, bucket_of(s.value)
  from (values ('human', v.human), (v.category, (v.scores ->> v.category)::double precision)) s (score, value)
  where v.decided_by like 'model:%' and v.backfill_id is null and v.scores is not null
    and coalesce(v.batch, '') not like 'rollback-%' and v.rule <> 'undo' and s.score is not null and s.value is not null
$$;

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
create trigger reviews_count_added after insert on reviews
  for each row when (new.at is not null) execute function count_review();
create trigger reviews_count_completed after update on reviews
  for each row when (old.at is null and new.at is not null) execute function count_review();
create trigger reviews_count_deleted after delete on reviews
  for each row when (old.at is not null) execute function count_review();
create trigger reviews_count_none after truncate on reviews for each statement execute function count_none();

-- Moves changes into the counts, of each kind at most p_limit; null: all. Returns how many it moved of the kind of which it
-- moved most; 0 also where somebody else is at it. What comes to 0 goes. Locks: the row of rollups, which no writer needs.
create function fold_rollups(p_limit integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  moved bigint;
  most bigint := 0;
  empty_hours tid[];
  empty_days tid[];
  empty tid[];
begin
  perform 1 from rollups for update skip locked;
  if not found then
    return 0;
  end if;

  with taken as (
    delete from rollup_hours_changes where ctid in (select ctid from rollup_hours_changes limit p_limit) returning *
  ), summed as (
    select hour, verdict, rule, category, model, code, sum(photos) as photos
    from taken group by 1, 2, 3, 4, 5, 6 having sum(photos) <> 0
  ), hours as (
    insert into rollup_hours as r select * from summed
    on conflict on constraint rollup_hours_pkey do update set photos = r.photos + excluded.photos
    returning r.ctid, r.photos
  ), days as (
    insert into rollup_days as r
    select day_of(hour), verdict, rule, category, model, code, sum(photos) from summed group by 1, 2, 3, 4, 5, 6 having sum(photos) <> 0
    on conflict on constraint rollup_days_pkey do update set photos = r.photos + excluded.photos
    returning r.ctid, r.photos
  )
  select (select count(*) from taken), array(select ctid from hours where photos = 0), array(select ctid from days where photos = 0)
  into moved, empty_hours, empty_days;
  delete from rollup_hours where ctid = any (empty_hours);
  delete from rollup_days where ctid = any (empty_days);
  most := greatest(most, moved);

  with taken as (
    delete from rollup_listings_changes where ctid in (select ctid from rollup_listings_changes limit p_limit) returning *
  ), listings as (
    insert into rollup_listings as r
    select listing, verdict, category, sum(photos) from taken group by 1, 2, 3 having sum(photos) <> 0
    on conflict on constraint rollup_listings_pkey do update set photos = r.photos + excluded.photos
    returning r.ctid, r.photos
  )
  select (select count(*) from taken), array(select ctid from listings where photos = 0) into moved, empty;
  delete from rollup_listings where ctid = any (empty);
  most := greatest(most, moved);

  with taken as (
    delete from rollup_scores_changes where ctid in (select ctid from rollup_scores_changes limit p_limit) returning *
  ), scores as (
    insert into rollup_scores as r
    select day, model, score, bucket, sum(photos) from taken group by 1, 2, 3, 4 having sum(photos) <> 0
    on conflict on constraint rollup_scores_pkey do update set photos = r.photos + excluded.photos
    returning r.ctid, r.photos
  )
  select (select count(*) from taken), array(select ctid from scores where photos = 0) into moved, empty;
  delete from rollup_scores where ctid = any (empty);
  most := greatest(most, moved);

  with taken as (
    delete from rollup_reviews_changes where ctid in (select ctid from rollup_reviews_changes limit p_limit) returning *
  ), reviewed as (
    insert into rollup_reviews as r
    select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, sum(reviews)
    from taken group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 having sum(reviews) <> 0
    on conflict on constraint rollup_reviews_pkey do update set reviews = r.reviews + excluded.reviews
    returning r.ctid, r.reviews
  )
  select (select count(*) from taken), array(select ctid from reviewed where reviews = 0) into moved, empty;
  delete from rollup_reviews where ctid = any (empty);
  most := greatest(most, moved);

  update rollups set folded_at = now();
  return most;
end $$;
revoke execute on function fold_rollups(integer) from public;

-- What the tables have more than the counts (less: negative), of each kind as a row of its changes. One statement sees both
-- at one moment, so it is right while others write. They read the whole table.
create function differing_hours() returns setof rollup_hours_changes stable language sql as $$
  select hour, verdict, rule, category, model, code, sum(n)::bigint from (
    select hour_of(decided_at) as hour, state as verdict, coalesce(rule, '') as rule, coalesce(category, '') as category,
      coalesce(decided_by, '') as model, coalesce(failure, '') as code, 1 as n
    from photos where state <> 'pending' and superseded_at is null
    union all select hour, verdict, rule, category, model, code, -photos from rollup_hours
    union all select hour, verdict, rule, category, model, code, -photos from rollup_hours_changes
  ) x group by 1, 2, 3, 4, 5, 6 having sum(n) <> 0
$$;
create function differing_listings() returns setof rollup_listings_changes stable language sql as $$
  select listing, verdict, category, sum(n)::bigint from (
    select listing, state as verdict, coalesce(category, '') as category, 1 as n
    from photos where state <> 'pending' and superseded_at is null and listing is not null
    union all select listing, verdict, category, -photos from rollup_listings
    union all select listing, verdict, category, -photos from rollup_listings_changes
  ) x group by 1, 2, 3 having sum(n) <> 0
$$;
create function differing_scores() returns setof rollup_scores_changes stable language sql as $$
  select day, model, score, bucket, sum(n)::bigint from (
    select s.day, s.model, s.score, s.bucket, 1 as n from verdicts v cross join lateral scores_of(v) s
    union all select day, model, score, bucket, -photos from rollup_scores
    union all select day, model, score, bucket, -photos from rollup_scores_changes
  ) x group by 1, 2, 3, 4 having sum(n) <> 0
$$;
create function differing_reviews() returns setof rollup_reviews_changes stable language sql as $$
  select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, sum(n)::bigint from (
    select day_of(at) as day, moderator, audit, coalesce(model, '') as model, coalesce(model_verdict, '') as model_verdict,
      coalesce(model_rule, '') as model_rule, coalesce(model_category, '') as model_category, verdict,
      coalesce(category, '') as category, coalesce(human::text, '') as human, 1 as n
    from reviews where at is not null
    union all select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, -reviews from rollup_reviews
    union all select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, -reviews from rollup_reviews_changes
  ) x group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 having sum(n) <> 0
$$;
-- Days come from hours, and are compared with them: both are folded in one transaction.
create function differing_days() returns setof rollup_days stable language sql as $$
  select day, verdict, rule, category, model, code, sum(n)::bigint from (
    select day_of(hour) as day, verdict, rule, category, model, code, photos as n from rollup_hours
    union all select day, verdict, rule, category, model, code, -photos from rollup_days
  ) x group by 1, 2, 3, 4, 5, 6 having sum(n) <> 0
$$;

-- Where the counts differ from the tables; no row: nowhere. missing: how many they should have more, or where negative less.
create function check_rollups() returns table (rollup text, of jsonb, missing bigint) stable language sql as $$
  select 'hours', to_jsonb(d) - 'photos', photos from differing_hours() d
  union all select 'days', to_jsonb(d) - 'photos', photos from differing_days() d
  union all select 'listings', to_jsonb(d) - 'photos', photos from differing_listings() d
  union all select 'scores', to_jsonb(d) - 'photos', photos from differing_scores() d
  union all select 'reviews', to_jsonb(d) - 'reviews', reviews from differing_reviews() d
$$;

-- Makes the counts what the tables say, by adding what differs to the changes; nobody who writes has to wait. Returns how
-- many counts were wrong. On empty counts it is what makes them. Two at once take turns. To be called in read committed,
-- so that the later of two sees what the first one did. Locks: those who fold, for the moment in which days are made.
create function mend_rollups() returns bigint language plpgsql as $$
declare
  more bigint;
  wrong bigint;
begin
  perform pg_advisory_xact_lock(hashtext('maitred rollups'));
  insert into rollup_hours_changes select * from differing_hours();
  get diagnostics wrong = row_count;
  insert into rollup_listings_changes select * from differing_listings();
  get diagnostics more = row_count;
  wrong := wrong + more;
  insert into rollup_scores_changes select * from differing_scores();
  get diagnostics more = row_count;
  wrong := wrong + more;
  insert into rollup_reviews_changes select * from differing_reviews();
  get diagnostics more = row_count;
  wrong := wrong + more;
  perform 1 from rollups for update;
  insert into rollup_days as r select * from differing_days()
  on conflict on constraint rollup_days_pkey do update set photos = r.photos + excluded.photos;
  get diagnostics more = row_count;
  delete from rollup_days where photos = 0;
  update rollups set built_at = coalesce(built_at, now());
  return wrong + more;
end $$;

-- The views. What is not folded yet is added, so that they are as right as the tables are. They have no row until the counts
-- are complete. A condition on a column that is grouped by reaches the index below.
create or replace view hourly_counts as
  select hour, verdict, nullif(category, '') as category, nullif(model, '') as model, nullif(code, '') as code,
    sum(photos)::bigint as photos, nullif(rule, '') as rule
  from (
    select hour, verdict, rule, category, model, code, photos from rollup_hours
    union all select hour, verdict, rule, category, model, code, photos from rollup_hours_changes
  ) c where (select built_at is not null from rollups)
  group by c.hour, c.verdict, c.rule, c.category, c.model, c.code having sum(photos) <> 0;
comment on view hourly_counts is 'Current photos by the hour of their verdict. For more than some weeks read daily_counts.';
comment on column hourly_counts.hour is 'Start of the hour, of UTC';
comment on column hourly_counts.rule is 'Why: human, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';

create view daily_counts as
  select day, verdict, nullif(rule, '') as rule, nullif(category, '') as category, nullif(model, '') as model,
    nullif(code, '') as code, sum(photos)::bigint as photos
  from (
    select day, verdict, rule, category, model, code, photos from rollup_days
    union all select day_of(hour), verdict, rule, category, model, code, photos from rollup_hours_changes
  ) c where (select built_at is not null from rollups)
  group by c.day, c.verdict, c.rule, c.category, c.model, c.code having sum(photos) <> 0;
comment on view daily_counts is 'Current photos by the day of their verdict.';
comment on column daily_counts.day is 'The day, of UTC';
comment on column daily_counts.verdict is 'shown, hidden, review or failed';
comment on column daily_counts.rule is 'Why: human, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';
comment on column daily_counts.category is 'Most probable category; null for failed photos';
comment on column daily_counts.model is 'Who decided: model:NAME or moderator:NAME';
comment on column daily_counts.code is 'Failure code; null for judged photos';
comment on column daily_counts.photos is 'How many';

create view listing_counts as
  select listing, verdict, nullif(category, '') as category, sum(photos)::bigint as photos
  from (
    select listing, verdict, category, photos from rollup_listings
    union all select listing, verdict, category, photos from rollup_listings_changes
  ) c where (select built_at is not null from rollups)
  group by c.listing, c.verdict, c.category having sum(photos) <> 0;
comment on view listing_counts is 'Current photos of each listing, as far as they have a verdict or failed. Meant to be asked for some listings at a time.';
comment on column listing_counts.listing is 'The restaurant';
comment on column listing_counts.verdict is 'shown, hidden, review or failed';
comment on column listing_counts.category is 'Most probable category; null for failed photos';
comment on column listing_counts.photos is 'How many';

create view score_counts as
  select day, model, score, bucket, (bucket / 20.0)::numeric(3, 2) as score_from, sum(photos)::bigint as photos
  from (
    select day, model, score, bucket, photos from rollup_scores
    union all select day, model, score, bucket, photos from rollup_scores_changes
  ) c where (select built_at is not null from rollups)
  group by c.day, c.model, c.score, c.bucket having sum(photos) <> 0;
comment on view score_counts is 'How the scores that models gave to uploads are distributed, day by day. Backfills are left out.';
comment on column score_counts.day is 'The day, of UTC';
comment on column score_counts.model is 'model:NAME';
comment on column score_counts.score is 'human, or the category that was the most probable';
comment on column score_counts.bucket is '0 to 19: which twentieth of 0 to 1 the score is in';
comment on column score_counts.score_from is 'Where the bucket begins, 0 to 0.95';
comment on column score_counts.photos is 'How many verdicts';

create view review_counts as
  select day, moderator, audit, nullif(model, '') as model, nullif(model_verdict, '') as model_verdict,
    nullif(model_rule, '') as model_rule, nullif(model_category, '') as model_category, verdict, nullif(category, '') as category,
    nullif(human, '')::boolean as human, sum(reviews)::bigint as reviews
  from (
    select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, reviews from rollup_reviews
    union all
    select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, reviews from rollup_reviews_changes
  ) c where (select built_at is not null from rollups)
  group by c.day, c.moderator, c.audit, c.model, c.model_verdict, c.model_rule, c.model_category, c.verdict, c.category, c.human
  having sum(reviews) <> 0;
comment on view review_counts is 'What moderators decided, beside what the model had decided before. Each review counts, also of a photo that has several.';
comment on column review_counts.day is 'The day of the review, of UTC';
comment on column review_counts.moderator is 'Their name';
comment on column review_counts.audit is 'Whether the photo was drawn at random to measure the model, and not because of its verdict';
comment on column review_counts.model is 'Who had given the last verdict of a model before it: model:NAME; null where none had';
comment on column review_counts.model_verdict is 'That verdict: shown, hidden, review or failed';
comment on column review_counts.model_rule is 'Why the model gave it: human, human-uncertain, verify, category-uncertain, scores-invalid, clear, failed';
comment on column review_counts.model_category is 'The category that the model found most probable';
comment on column review_counts.verdict is 'shown or hidden, by the moderator';
comment on column review_counts.category is 'The category that the moderator gave; null where they gave none';
comment on column review_counts.human is 'Whether the moderator saw a human; null where they did not say';
comment on column review_counts.reviews is 'How many';

create view verdict_history as
  select id as verdict_id, photo_id, decided_at, verdict, rule, reason, category, human, decided_by as model, policy, failure as code, backfill_id
  from verdicts;
comment on view verdict_history is 'Every verdict ever given; the largest id is the latest. A row with the rule undo says which one stands again since a moderator took a decision back.';
comment on column verdict_history.verdict_id is 'Larger is later';
comment on column verdict_history.photo_id is 'The photo';
comment on column verdict_history.decided_at is 'When it was committed';
comment on column verdict_history.verdict is 'shown, hidden, review or failed';
comment on column verdict_history.rule is 'Why, as a word that never changes';
comment on column verdict_history.reason is 'Why, for a person';
comment on column verdict_history.category is 'Most probable category; null for failed photos, and where a moderator gave none';
comment on column verdict_history.human is 'Probability 0 to 1 that a human is visible';
comment on column verdict_history.model is 'Who decided: model:NAME or moderator:NAME';
comment on column verdict_history.policy is 'Which policy, as the table policies has it; null for moderators';
comment on column verdict_history.code is 'Failure code; null for judged photos';
comment on column verdict_history.backfill_id is 'The backfill that it is of; null: none';

-- Vacuum and analyze by what changed in millions, not in fifths of a table: on 500 million rows a fifth is 100 million. These
-- wait for no reader or writer. History is only added to, and so has to be vacuumed for index-only scans alone.
alter table photos set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
alter table tags set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
alter table verdicts set (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- A verdict finds room on the page of its photo, and a tag on the page of the one that it replaces. In a page that is full they
-- leave a gap of one row, and new rows would go into these gaps, each on a page of its own that has to be read and logged whole.
alter table photos set (fillfactor = 90);
alter table tags set (fillfactor = 90);

-- What grant_roles gave until now, and then what is new here; it is called by the same name.
alter function grant_roles(text) rename to grant_roles_before_rollups;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
declare thing text;
begin
  perform grant_roles_before_rollups(p_queue_schema);
  if to_regrole('maitred_worker') is not null then
    grant select on rollups, rollup_hours, rollup_days, rollup_listings, rollup_scores, rollup_reviews, rollup_hours_changes,
      rollup_listings_changes, rollup_scores_changes, rollup_reviews_changes to maitred_worker;
    grant select on daily_counts, listing_counts, score_counts, review_counts, verdict_history to maitred_worker;
    grant execute on function fold_rollups(integer) to maitred_worker;
  end if;
  if to_regrole('maitred_dashboard') is not null then
    grant select on daily_counts, listing_counts, score_counts, review_counts, verdict_history to maitred_dashboard;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      for thing in
        select format('table %I', relname) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
          and (relname = 'rollups' or relname like 'rollup\_%')
        union all select format('view %I', viewname) from pg_views where schemaname = 'public'
          and viewname in ('daily_counts', 'listing_counts', 'score_counts', 'review_counts', 'verdict_history')
        union all select 'function ' || oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace
          and proname in ('hour_of', 'day_of', 'bucket_of', 'context_of_review', 'complete_review', 'complete_reviews',
            'count_changed_photos', 'count_photo', 'scores_of', 'count_scores', 'uncount_scores', 'count_review', 'count_none',
            'fold_rollups', 'differing_hours', 'differing_listings', 'differing_scores', 'differing_reviews', 'differing_days',
            'check_rollups', 'mend_rollups', 'grant_roles_before_rollups')
      loop
        execute format('alter %s owner to maitred_migrator', thing);
      end loop;
    exception
      when insufficient_privilege then
        raise notice 'the counts stay with %: only an administrator may give them to maitred_migrator', current_user;
    end;
  end if;
end $$;
