import type pg from "pg";

/**
 * Indexes of tables that may hold hundreds of millions of rows. They are built beside running workers, which only works
 * outside of a transaction, and so not in a migration.
 */
const INDEXES: Readonly<Record<string, string>> = {
  // by 8 of the 32 bytes: smaller than a hash index, and than half a tree of all 32; one row a picture and model
  verdicts_digest: `verdicts (${digestPrefix("digest")}) where digest is not null`,
  // of those that took scores over, from which photo
  verdicts_same: "verdicts (batch) where batch like 'same-%'",
  // what has no verdict yet, the oldest first
  photos_pending_lane: "photos (lane, registered_at, id) where state = 'pending' and superseded_at is null",
  // what waits for a moderator, by why it does
  photos_review_rule: "photos (rule, id) where state = 'review' and superseded_at is null",
  // what failed, newest first, whatever its code
  photos_failed_id: "photos (id) where state = 'failed'",
  // from which audits are drawn: one photo in twenty, so that it costs the others nothing
  photos_audit: `photos (id) where superseded_at is null and state in ('shown', 'hidden') and decided_by like 'model:%'
    and audit_rank(id) < 50`,
  // of a photo that is erased; the primary key begins with the model
  shadow_scores_photo: "shadow_scores (photo_id)",
  // who paused a lane, which the desk asks every second while one is paused
  audit_log_lanes: "audit_log (id) where did = 'changed-lane'",
  verdicts_backfill: "verdicts (backfill_id, photo_id, id) where backfill_id is not null",
  // a restaurant's photo tabs, and all of its photos whatever became of them, newest first. The id stands before what a verdict
  // changes, so that the verdict writes to the page that the registration wrote to
  photos_by_listing: "photos (listing, id desc, state, category) where listing is not null",
};

/**
 * The first 8 bytes of a digest as a number, in SQL: what the index of digests holds. Whoever looks there compares the
 * digest as well, because others begin with the same bytes: one pair in half a billion by chance, and as many as somebody
 * cares to make.
 *
 * @param digest an expression of type bytea.
 */
export function digestPrefix(digest: string): string {
  return `(('x' || encode(substr(${digest}, 1, 8), 'hex'))::bit(64)::bigint)`;
}

/**
 * Builds what is missing, and anew what was left unfinished. The caller holds the lock of `migrate`, so that nobody builds the same.
 */
export async function buildIndexes(client: pg.Client): Promise<void> {
  for (const [name, definition] of Object.entries(INDEXES)) {
    const valid = await isValid(client, name);
    if (valid) continue;
    if (valid === false) await client.query(`drop index concurrently ${name}`);
    await client.query(`create index concurrently ${name} on ${definition}`);
  }
}

/** Whether there is an index to look scores up by their digest; without it each look would read all verdicts. */
export async function hasDigests(db: pg.Pool): Promise<boolean> {
  return (await isValid(db, "verdicts_digest")) ?? false;
}

/** Whether there is one more, for those that took scores over. */
export async function hasCopies(db: pg.Pool): Promise<boolean> {
  return (await hasDigests(db)) && ((await isValid(db, "verdicts_same")) ?? false);
}

/** False where it was left unfinished; undefined where there is none. */
async function isValid(db: pg.Pool | pg.Client, name: string): Promise<boolean | undefined> {
  const { rows } = await db.query<{ valid: boolean }>(
    "select indisvalid as valid from pg_index where indexrelid = to_regclass($1)",
    [name],
  );
  return rows[0]?.valid;
}
