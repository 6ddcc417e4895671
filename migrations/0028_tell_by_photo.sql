-- Up Migration

-- What it did is in functions/outbox.sql.
