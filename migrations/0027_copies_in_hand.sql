-- Up Migration

-- It changed functions alone, which are in functions/decisions.sql now; databases know it by its name.
