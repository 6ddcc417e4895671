-- Up Migration

-- Neither bucket nor key: nobody shows a photo by mistake whom this view alone told of it.
create view current_photos as
  select id as photo_id, listing, uploader, claimed, lane, state, category, human, rule, reason, failure as code, decided_by as model,
    registered_at, decided_at
  from photos where superseded_at is null;
comment on view current_photos is 'Every current photo, whatever became of it, those that wait for a verdict too. To show photos, read public_photos.';
comment on column current_photos.photo_id is 'The photo; larger is newer';
comment on column current_photos.listing is 'The restaurant it belongs to; null where nobody said';
comment on column current_photos.uploader is 'moderator or user; null where nobody said';
comment on column current_photos.claimed is 'The category its uploader marked; null where nobody did';
comment on column current_photos.lane is 'live or backfill';
comment on column current_photos.state is 'pending, shown, hidden, review or failed';
comment on column current_photos.category is 'Most probable category; null for pending and failed photos';
comment on column current_photos.human is 'Probability 0 to 1 that a human is visible; null for pending and failed photos';
comment on column current_photos.rule is 'Why, as a word that never changes; null for pending photos';
comment on column current_photos.reason is 'Why, for a person';
comment on column current_photos.code is 'Failure code; null for all but failed photos';
comment on column current_photos.model is 'Who decided: model:NAME or moderator:NAME';
comment on column current_photos.registered_at is 'When its upload became known';
comment on column current_photos.decided_at is 'When its current verdict was committed; null for pending photos';
