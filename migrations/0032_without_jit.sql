-- Up Migration

-- It changed functions alone, which are in functions/outbox.sql and functions/forget.sql now; databases know it by its name.
