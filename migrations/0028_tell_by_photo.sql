-- Up Migration

-- It changed functions alone, which are in functions/outbox.sql now; databases know it by its name.
