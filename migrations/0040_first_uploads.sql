-- Up Migration

-- What it did is in functions/photos.sql and functions/bytes.sql.
