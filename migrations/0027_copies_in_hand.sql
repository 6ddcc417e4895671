-- Up Migration

-- What it did is in functions/decisions.sql.
