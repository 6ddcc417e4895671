-- Up Migration

-- What it did is in functions/deliveries.sql.
