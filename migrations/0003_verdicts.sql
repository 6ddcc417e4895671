-- Up Migration

-- What was judged stands on the row that holds its scores, so that whoever erases the one erases the other:
--   digest     33 bytes of a row whose photo the model ran for, and nothing in others: those that took the scores over (their
--              batch is 'same-ID'), and those that another policy or a moderator decided. So a picture that is
--              uploaded a million times is there once. It is all of the SHA-256, of which the index holds 8 bytes: of these
--              alone two of half a billion photos would meet by chance, one time in a hundred and fifty, and on purpose
--              within minutes, and a photo that somebody made to meet a harmless one would be shown;
--   rendition  that a smaller copy was judged; its name follows from that of the photo and the template of the backfill;
--   tries      of a failure, and of a verdict that took more than one.
-- The index of digests is in src/store/indexes.ts.
create table verdicts (
  id          bigint generated always as identity primary key,
  photo_id    bigint not null references photos on delete cascade,
  verdict     text not null check (verdict in ('shown', 'hidden', 'review', 'failed')),
  rule        text not null,
  reason      text not null,
  category    text,
  human       real,
  scores      jsonb,
  decided_by  text not null,
  policy      text,
  batch       text,
  decided_at  timestamptz not null default now(),
  -- no reference: it would be looked up for every verdict of a run
  backfill_id bigint,
  failure     text,
  digest      bytea,
  rendition   boolean,
  tries       smallint
) with (
  -- only added to, and so to be vacuumed for index-only scans alone
  autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);
comment on table verdicts is 'Every verdict ever given, oldest first; rows are only added.';
comment on column verdicts.backfill_id is 'The backfill that the verdict is of';
comment on column verdicts.failure is 'The code of a failure; null otherwise';
comment on column verdicts.digest is 'SHA-256 of the bytes that the model judged; null where it did not run for this verdict';
comment on column verdicts.rendition is 'True where a rendition of the photo was judged, and not the photo itself';
comment on column verdicts.tries is 'How many tries a failure took, or a verdict that took more than one; null otherwise';
create index verdicts_photo on verdicts (photo_id, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% are history: rows are only added', tg_table_name using errcode = 'MD409';
end $$;
create trigger verdicts_append_only before update on verdicts for each row execute function refuse_change();

-- What every policy said that ever gave a verdict here, so that the tags of an old verdict can be given again.
create table policies (
  id         text primary key,
  yaml       text not null,
  thresholds jsonb not null,
  since      timestamptz not null default now()
);
comment on table policies is 'The policies that gave verdicts, by what photos.policy and verdicts.policy call them.';
comment on column policies.thresholds is 'By category, 0 to 1';

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
