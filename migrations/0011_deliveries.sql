-- Up Migration

-- It changed functions alone, which are in functions/deliveries.sql now; databases know it by its name.
