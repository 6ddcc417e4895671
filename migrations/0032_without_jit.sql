-- Up Migration

-- What it did is in functions/outbox.sql and functions/forget.sql.
