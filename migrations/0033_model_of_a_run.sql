-- Up Migration

-- What it did is in functions/verdicts.sql.
