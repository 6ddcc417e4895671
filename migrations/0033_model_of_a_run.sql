-- Up Migration

-- It changed functions alone, which are in functions/verdicts.sql now; databases know it by its name.
