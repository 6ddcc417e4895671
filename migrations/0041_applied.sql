-- Up Migration

-- What it did is in functions/outcomes.sql.
