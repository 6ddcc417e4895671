-- Up Migration

-- It changed functions alone, which are in functions/backfills.sql now; databases know it by its name.
