-- Up Migration

-- What a moderator decides is remembered of the bytes, too, from now on, so that those that one hid are not shown as another photo
-- before a moderator has seen them there.
alter table reviews add column digest bytea;
comment on column reviews.digest is 'SHA-256 of the bytes that a model had judged as this photo; null where nobody knows';
create index reviews_digest on reviews (digest, verdict_id) where digest is not null;

drop function if exists record_verdicts(jsonb);
comment on column verdicts.digest is 'SHA-256 of the bytes that were judged; null where the scores are those of another photo, but for one that was held as a copy';

comment on column hourly_counts.rule is 'Why: hidden-copy, human, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';
comment on column daily_counts.rule is 'Why: hidden-copy, human, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';
comment on column review_counts.model_rule is 'Why the model gave it: hidden-copy, human, human-uncertain, verify, category-uncertain, scores-invalid, clear, failed';
