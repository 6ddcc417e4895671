-- Of one verdict: its score of a human, and of its category. Nothing of a verdict that is no model's of an upload, nor of one
-- that stands again, nor of one that holds a photo which was shown.
create or replace function scores_of(v verdicts) returns table (day date, model text, score text, bucket smallint)
stable parallel safe language sql as $$
  select day_of(v.decided_at), v.decided_by, s.score, bucket_of(s.value)
  from (values ('human', v.human), (v.category, (v.scores ->> v.category)::double precision)) s (score, value)
  where v.decided_by like 'model:%' and v.backfill_id is null and v.scores is not null
    and coalesce(v.batch, '') not like 'rollback-%' and v.rule <> 'undo'
    and (v.rule <> 'hidden-copy' or v.batch is not null) and s.score is not null and s.value is not null
$$;

-- Moves changes into the counts, of each kind at most p_limit; null: all. Returns how many it moved of the kind of which it
-- moved most; 0 also where somebody else is at it. What comes to 0 goes. Locks: the row of rollups, which no writer needs.
create or replace function fold_rollups(p_limit integer) returns bigint
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

-- Where the counts differ from the tables; no row: nowhere. missing: how many they should have more, or where negative less.
create or replace function check_rollups() returns table (rollup text, of jsonb, missing bigint) stable language sql as $$
  select 'hours', to_jsonb(d) - 'photos', photos from differing_hours() d
  union all select 'days', to_jsonb(d) - 'photos', photos from differing_days() d
  union all select 'listings', to_jsonb(d) - 'photos', photos from differing_listings() d
  union all select 'scores', to_jsonb(d) - 'photos', photos from differing_scores() d
  union all select 'reviews', to_jsonb(d) - 'reviews', reviews from differing_reviews() d
$$;

-- What the tables have more than the counts (less: negative), of each kind as a row of its changes. One statement sees both
-- at one moment, so it is right while others write. They read the whole table.
create or replace function differing_hours() returns setof rollup_hours_changes stable language sql as $$
  select hour, verdict, rule, category, model, code, sum(n)::bigint from (
    select hour_of(decided_at) as hour, state as verdict, coalesce(rule, '') as rule, coalesce(category, '') as category,
      coalesce(decided_by, '') as model, coalesce(failure, '') as code, 1 as n
    from photos where state <> 'pending' and superseded_at is null
    union all select hour, verdict, rule, category, model, code, -photos from rollup_hours
    union all select hour, verdict, rule, category, model, code, -photos from rollup_hours_changes
  ) x group by 1, 2, 3, 4, 5, 6 having sum(n) <> 0
$$;

-- Days come from hours, and are compared with them: both are folded in one transaction.
create or replace function differing_days() returns setof rollup_days stable language sql as $$
  select day, verdict, rule, category, model, code, sum(n)::bigint from (
    select day_of(hour) as day, verdict, rule, category, model, code, photos as n from rollup_hours
    union all select day, verdict, rule, category, model, code, -photos from rollup_days
  ) x group by 1, 2, 3, 4, 5, 6 having sum(n) <> 0
$$;

create or replace function differing_listings() returns setof rollup_listings_changes stable language sql as $$
  select listing, verdict, category, sum(n)::bigint from (
    select listing, state as verdict, coalesce(category, '') as category, 1 as n
    from photos where state <> 'pending' and superseded_at is null and listing is not null
    union all select listing, verdict, category, -photos from rollup_listings
    union all select listing, verdict, category, -photos from rollup_listings_changes
  ) x group by 1, 2, 3 having sum(n) <> 0
$$;

create or replace function differing_scores() returns setof rollup_scores_changes stable language sql as $$
  select day, model, score, bucket, sum(n)::bigint from (
    select s.day, s.model, s.score, s.bucket, 1 as n from verdicts v cross join lateral scores_of(v) s
    union all select day, model, score, bucket, -photos from rollup_scores
    union all select day, model, score, bucket, -photos from rollup_scores_changes
  ) x group by 1, 2, 3, 4 having sum(n) <> 0
$$;

create or replace function differing_reviews() returns setof rollup_reviews_changes stable language sql as $$
  select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, sum(n)::bigint from (
    select day_of(at) as day, moderator, audit, coalesce(model, '') as model, coalesce(model_verdict, '') as model_verdict,
      coalesce(model_rule, '') as model_rule, coalesce(model_category, '') as model_category, verdict,
      coalesce(category, '') as category, coalesce(human::text, '') as human, 1 as n
    from reviews
    union all select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, -reviews from rollup_reviews
    union all select day, moderator, audit, model, model_verdict, model_rule, model_category, verdict, category, human, -reviews from rollup_reviews_changes
  ) x group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 having sum(n) <> 0
$$;

-- Makes the counts what the tables say, by adding what differs to the changes; nobody who writes has to wait. Returns how
-- many counts were wrong. On empty counts it is what makes them. Two at once take turns. To be called in read committed,
-- so that the later of two sees what the first one did. Locks: those who fold, for the moment in which days are made.
create or replace function mend_rollups() returns bigint language plpgsql as $$
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

revoke execute on function fold_rollups(integer) from public;
