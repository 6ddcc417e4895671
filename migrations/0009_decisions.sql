-- Up Migration

-- What a moderator's verdict says beyond its row in `verdicts`. One row a review, so that the tables with a row or
-- more for every photo do not grow by columns that are null in nearly all of them. What a review is counted by stands in its own
-- row, so that it can be taken back when the history is gone already.
create table reviews (
  verdict_id     bigint primary key references verdicts on delete cascade,
  photo_id       bigint not null references photos on delete cascade,
  category       text,
  human          boolean,
  audit          boolean not null default false,
  moderator      text,
  at             timestamptz,
  verdict        text,
  model          text,
  model_verdict  text,
  model_rule     text,
  model_category text
);
comment on table reviews is 'What moderators saw and did not take back, oldest first; rows are never changed. Who, when and the verdict are in verdicts.';
comment on column reviews.category is 'The category that the moderator gave; null where they gave none';
comment on column reviews.human is 'Whether the moderator saw a human; null where they did not say';
comment on column reviews.audit is 'Whether the photo was drawn at random to measure the model, and not because of its verdict';
comment on column reviews.at is 'When; with moderator and verdict a copy of its row in verdicts';
comment on column reviews.model is 'Who had given the last verdict of a model before it (model_verdict, model_rule, model_category); null where none had';
create index reviews_photo on reviews (photo_id, verdict_id);
create trigger reviews_append_only before update on reviews for each row execute function refuse_change();

-- What it does is in functions/reviews.sql; so that the trigger can be made.
create function complete_review() returns trigger language plpgsql as $$ begin raise 'maitred migrate has not ended'; end $$;
create trigger reviews_complete before insert on reviews for each row execute function complete_review();

-- What was decided at the desk, under an id that the page made, so that sending it again does nothing more.
create table review_decisions (
  id         uuid primary key,
  photo_id   bigint not null references photos on delete cascade,
  moderator  text not null,
  kind       text,
  verdict    text not null,
  category   text,
  human      boolean,
  verdict_id bigint not null,
  before     jsonb not null,
  at         timestamptz not null default now(),
  undone_at  timestamptz
);
comment on table review_decisions is 'Decisions of moderators at the desk. Who, when and what; verdicts and reviews follow from them.';
comment on column review_decisions.kind is 'Why the photo was asked about; null where the moderator chose it';
comment on column review_decisions.before is 'State and tags of the photo before, for whoever takes it back';
create index review_decisions_moderator on review_decisions (moderator, at);
create index review_decisions_photo on review_decisions (photo_id);
