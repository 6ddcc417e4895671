-- Up Migration

-- It changed functions alone, which are in functions/photos.sql and functions/bytes.sql now; databases know it by its name.
