-- Up Migration

-- What it did is in functions/backfills.sql.
