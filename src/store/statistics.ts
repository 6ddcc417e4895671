import type pg from "pg";

/**
 * Tells the planner of columns that it knows nothing of, in tables that are large already: a migration added them, or the database was
 * restored. Autovacuum waits until a tenth of a table has changed, and until then what looks a few rows up by such a column may read
 * all of the table, for each photo. Writers are kept waiting by nothing here.
 */
export async function analyzeUnknown(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select c.relname as name from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname = any ($1) and pg_relation_size(c.oid) > ${SMALL_BYTES}
      and exists (
        select from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and not exists (
          select from pg_stats s where (s.schemaname, s.tablename, s.attname) = ('public', c.relname, a.attname)))
    order by 1`,
    [GROWING],
  );
  for (const { name } of rows) await client.query(`analyze ${name}`);
}

const GROWING = [
  "backfill_changes",
  "backfill_photos",
  "deliveries",
  "object_order",
  "outbox",
  "photos",
  "proposals",
  "review_decisions",
  "reviews",
  "shadow_scores",
  "tags",
  "verdicts",
];
/** Read in a millisecond, whatever the planner knows. */
const SMALL_BYTES = 1_000_000;
