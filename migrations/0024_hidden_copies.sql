-- Up Migration

-- A function that is replaced has to return what it did, so where that changed it goes first.
drop function if exists decide_reviews(text, jsonb), undo_review(text, uuid, double precision, text);
