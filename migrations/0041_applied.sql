-- Up Migration

-- It changed functions alone, which are in functions/outcomes.sql now; databases know it by its name.
