/** Right after a restore or a pg_upgrade Postgres knows nothing of the tables: what is done for one photo reads few rows all the same. */
import type pg from "pg";
import { describe, expect } from "vitest";
import { addBackfill } from "../../src/store/backfills.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { judged, register } from "../verdicts.ts";

describe("without statistics", () => {
  test("a verdict looks up who hid its bytes, and reads no other review", async ({ db }) => {
    await fill(db);
    const photo = await register(db, "new");
    const outcome = judged(photo, "shown");
    const of = { ...outcome, result: { ...outcome.result, digest: "ab".repeat(32) } };
    expect(await read(db, "reviews", (client) => recordOutcomes(client, [of]))).toBe(0);
  });

  test("a photo whose backfill is rolled back gets its tags back, and no other tag is read", async ({
    db,
  }) => {
    await fill(db);
    const photo = await register(db, "new");
    await recordOutcomes(db.pool, [judged(photo, "shown", "model:m-0")]);
    const backfill = await addBackfill(db.pool, {
      what: { kind: "prefix", bucket: "photos", prefix: "" },
      model: "model:m-1",
      again: false,
      propose: false,
      maxRate: null,
      hours: null,
      startedBy: "ann",
    });
    const anew = judged(photo, "hidden", "model:m-1");
    anew.result.decision.tags = [{ category: "menu", score: 0.25, threshold: 0.1 }];
    await recordOutcomes(db.pool, [{ ...anew, backfill }]);
    // a page of a rollback has other photos, too
    const restore = (client: pg.PoolClient) =>
      client.query("select restore_before_backfill($1, $2::bigint || array(select generate_series(1, 20)))", [
        backfill,
        photo,
      ]);
    expect(await read(db, "tags", restore)).toBeLessThan(100);
    expect(await rows(db, "select category, model from tags where photo_id = $1", photo)).toEqual([
      { category: "food", model: "model:m-0" },
    ]);
  });
});

/** Reviewed photos with a tag each, of a long backfill, as a restore loads them: no trigger fires, and no statistics are made. */
async function fill(db: Database): Promise<void> {
  const off = ["photos", "verdicts", "reviews", "tags"].map(
    (table) => `alter table ${table} set (autovacuum_enabled = false);`,
  );
  await db.pool.query(`${off.join(" ")}
    set local session_replication_role = replica;
    insert into photos (store, bucket, key, state, category, rule, decided_by, decided_at)
    select 's3', 'archive', n::text, 'hidden', 'food', 'moderator', 'moderator:ann', now() from generate_series(1, 25000) n;
    insert into tags select id, 'food', 1, 0, 'moderator:ann' from photos;
    insert into verdicts (photo_id, verdict, rule, reason, decided_by, backfill_id)
    select id, v, 'clear', '', 'model:m-0', 99 from photos, unnest(array['shown', 'hidden']) v;
    insert into reviews (verdict_id, photo_id, moderator, verdict, digest)
    select id, photo_id, 'ann', verdict, sha256(photo_id::text::bytea) from verdicts where verdict = 'hidden'`);
}

/** How many rows of a table the work reads. */
async function read(
  db: Database,
  table: string,
  work: (client: pg.PoolClient) => Promise<unknown>,
): Promise<number> {
  const client = await db.pool.connect();
  const sofar = async (): Promise<number> => {
    const { rows: found } = await client.query<{ read: number }>(
      "select (seq_tup_read + coalesce(idx_tup_fetch, 0))::float8 as read from pg_stat_xact_user_tables where relname = $1",
      [table],
    );
    return found[0]!.read;
  };
  await client.query("begin");
  const before = await sofar();
  await work(client);
  const after = await sofar();
  await client.query("commit");
  client.release();
  return after - before;
}
