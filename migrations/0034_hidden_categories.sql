-- Up Migration

-- A policy may hide photos of a category: the rule hidden-category.
comment on column hourly_counts.rule is 'Why: hidden-copy, human, hidden-category, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';
comment on column daily_counts.rule is 'Why: hidden-copy, human, hidden-category, human-uncertain, verify, category-uncertain, scores-invalid, clear, moderator, failed';
comment on column review_counts.model_rule is 'Why the model gave it: hidden-copy, human, hidden-category, human-uncertain, verify, category-uncertain, scores-invalid, clear, failed';
