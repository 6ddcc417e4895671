import type pg from "pg";

/**
 * Indexes of tables that may hold hundreds of millions of rows. They are built beside running workers, which only works
 * outside of a transaction, and so not in a migration.
 */
const INDEXES: Readonly<Record<string, string>> = {
  // the order in which a store lists its keys, whatever the database's own order is
  photos_listed: `photos (bucket, key collate "C") where store = 's3' and superseded_at is null`,
  // what waits for a moderator, by why it does
  photos_review_rule: "photos (rule, id) where state = 'review' and superseded_at is null",
  // from which audits are drawn: one photo in twenty, so that it costs the others nothing
  photos_audit: `photos (id) where superseded_at is null and state in ('shown', 'hidden') and decided_by like 'model:%'
    and audit_rank(id) < 50`,
  // the photos of a listing, whatever became of them, the newest first
  photos_listing: "photos (listing, id) where listing is not null",
  verdicts_backfill: "verdicts (backfill_id, photo_id, id) where backfill_id is not null",
  // a restaurant's photo tabs, newest first; and all of a listing's photos, whatever became of them
  photos_by_listing:
    "photos (listing, state, category, id desc) where superseded_at is null and listing is not null",
};

/** What one of these does as well. Each index less is one less to be written with every verdict. */
const REPLACED = ["photos_public"];

/**
 * Builds what is missing, and anew what was left unfinished, and drops what that replaces. The caller holds the lock of `migrate`, so that nobody
 * builds the same.
 */
export async function buildIndexes(client: pg.Client): Promise<void> {
  for (const [name, definition] of Object.entries(INDEXES)) {
    const { rows } = await client.query<{ valid: boolean }>(
      "select indisvalid as valid from pg_index where indexrelid = to_regclass($1)",
      [name],
    );
    if (rows[0]?.valid) continue;
    if (rows[0]) await client.query(`drop index concurrently ${name}`);
    await client.query(`create index concurrently ${name} on ${definition}`);
  }
  for (const name of REPLACED) await client.query(`drop index concurrently if exists ${name}`);
}
