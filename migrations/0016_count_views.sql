-- Up Migration

-- What is not folded yet is added, so that these are as right as the tables are. They have no row while the counts
-- are not complete. A condition on a column that is grouped by reaches the index below.
create view hourly_counts as
  select hour, verdict, nullif(category, '') as category, nullif(model, '') as model, nullif(code, '') as code,
    sum(photos)::bigint as photos, nullif(rule, '') as rule
  from (
    select hour, verdict, rule, category, model, code, photos from rollup_hours
    union all select hour, verdict, rule, category, model, code, photos from rollup_hours_changes
  ) c where (select built_at is not null from rollups)
  group by c.hour, c.verdict, c.rule, c.category, c.model, c.code having sum(photos) <> 0;
comment on view hourly_counts is 'Current photos by the hour of their verdict. For more than some weeks read daily_counts.';
comment on column hourly_counts.hour is 'Start of the hour, of UTC';
comment on column hourly_counts.verdict is 'shown, hidden, review or failed';
comment on column hourly_counts.category is 'Most probable category; null for failed photos';
comment on column hourly_counts.model is 'Who decided: model:NAME or moderator:NAME';
comment on column hourly_counts.code is 'Failure code; null for judged photos';
comment on column hourly_counts.photos is 'How many';
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
comment on view score_counts is 'How the scores that models gave are distributed, day by day. Runs of maitred backfill are left out; what sweeps and maitred enqueue bring, in either lane, is not.';
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
