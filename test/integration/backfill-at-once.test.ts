import type pg from "pg";
import { describe, expect } from "vitest";
import { readBackfillCounts } from "../../src/store/backfill-counts.ts";
import { endBackfills, feedBackfill, waitingPhotos } from "../../src/store/backfill-feed.ts";
import { addBackfill, readBackfill, retryBackfill } from "../../src/store/backfills.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { counts, failed, judged, page, photos } from "../backfills.ts";
import { type Database, test, transaction } from "../fixtures.ts";
import { ofAll } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

describe("a backfill beside others", () => {
  test("does not wait for a photo that was removed meanwhile", async ({ db }) => {
    const ids = await photos(db, "a", "b");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    await db.pool.query("update photos set superseded_at = now() where id = $1", [ids[0]]);
    await db.pool.query("delete from photos where id = $1", [ids[1]]);
    expect(await endBackfills(db.pool)).toEqual([id]);
  });

  /** How many rows of photos `work` reads where so many of 10,000 wait for one backfill. */
  async function photosRead(
    db: Database,
    waiting: number,
    work: (client: pg.PoolClient) => Promise<unknown>,
  ): Promise<number> {
    await db.pool.query(
      "insert into photos (store, bucket, key) select 's3', 'archive', n::text from generate_series(1, 10000) n",
    );
    await addBackfill(db.pool, ofAll);
    await db.pool.query(
      "insert into backfill_photos select p.id, b.id from photos p, backfills b order by 1 limit $1",
      [waiting],
    );
    await db.pool.query("analyze photos, backfill_photos");
    const client = await transaction(db);
    const read = async (): Promise<number> => {
      const { rows } = await client.query(
        "select (idx_tup_fetch + seq_tup_read)::float8 as read from pg_stat_xact_user_tables where relname = 'photos'",
      );
      return rows[0].read;
    };
    const before = await read();
    await work(client);
    const looked = (await read()) - before;
    await client.finish("rollback");
    return looked;
  }

  test("reads no photo but those that wait to see whether they are still there", async ({ db }) => {
    expect(await photosRead(db, 2_000, (client) => client.query("select end_backfills()"))).toBe(2_000);
  });

  test("reads each photo that waits once to queue all of them again, in however many pages", async ({
    db,
  }) => {
    const pages: number[] = [];
    const looked = await photosRead(db, 5_000, async (client) => {
      for await (const page of waitingPhotos(client, 0)) pages.push(page.length);
    });
    expect(pages).toEqual([1_000, 1_000, 1_000, 1_000, 1_000]);
    expect(looked).toBe(5_000);
  });

  test("is fed while a verdict of it is committed, without a deadlock", async ({ db }) => {
    const [a, b] = await photos(db, "a", "b");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page([a!], "1", false));
    const worker = await db.pool.connect();
    try {
      await worker.query("begin");
      await worker.query("select from photos where id in ($1, $2) order by id for update", [a, b]);
      const feeding = feedBackfill(db.pool, id, { after: "1" }, page([b!], "2"));
      await waitersIn(db);
      // counting it needs the row of the backfill
      await recordOutcomes(worker, [judged(a!, "shown"), judged(b!, "shown", "model:m-1")]);
      await worker.query("commit");
      expect((await feeding)!.map((photo) => photo.id)).toEqual([b]);
      expect(await counts(db, id)).toEqual([["pending", "shown", "", 1]]);
    } finally {
      worker.release(true);
    }
  });

  test("ends beside a verdict that is being committed, waits for nobody, and ends the rest afterwards", async ({
    db,
  }) => {
    const [a, b] = await photos(db, "a", "b");
    const [one, other] = [await addBackfill(db.pool, ofAll), await addBackfill(db.pool, ofAll)];
    await feedBackfill(db.pool, one, null, page([a!, b!]));
    await feedBackfill(db.pool, other, null, page([a!]));
    await db.pool.query("update photos set superseded_at = now()");
    const worker = await db.pool.connect();
    const feeder = await db.pool.connect();
    try {
      await feeder.query("set lock_timeout = '2s'");
      await worker.query("begin");
      await recordOutcomes(worker, [judged(b!, "shown")]);
      expect(await endBackfills(feeder as never)).toEqual([other]);
      // were the first photo's row held for it, each would wait for the other
      await recordOutcomes(worker, [judged(a!, "shown")]);
      await worker.query("commit");
    } finally {
      worker.release(true);
      feeder.release(true);
    }
    expect(await endBackfills(db.pool)).toEqual([one]);
  });

  test("is not ended by who found nothing left of it just before failed photos were to be tried again", async ({
    db,
  }) => {
    const [a] = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page([a!]));
    await recordOutcomes(db.pool, [failed(a!)]);
    const [operator, feeder] = [await db.pool.connect(), await db.pool.connect()];
    try {
      await feeder.query("set lock_timeout = '2s'");
      await operator.query("begin");
      await retryBackfill(operator as never, id, undefined, "me");
      expect(await endBackfills(feeder as never)).toEqual([]);
      await operator.query("commit");
    } finally {
      operator.release(true);
      feeder.release(true);
    }
    expect(await endBackfills(db.pool)).toEqual([]);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "running", retrying: true });
  });

  test("is settled by many workers at once without a photo counted twice or a deadlock", async ({ db }) => {
    const keys = Array.from({ length: 400 }, (_, index) => `k${index}`);
    const ids = await photos(db, ...keys);
    const runs = await Promise.all([addBackfill(db.pool, ofAll), addBackfill(db.pool, ofAll)]);
    for (const run of runs) await feedBackfill(db.pool, run, null, page(ids));
    const shuffled = (seed: number) =>
      ids.toSorted((a, b) => ((Number(a) * seed) % 97) - ((Number(b) * seed) % 97));
    const groups = [31, 57, 83, 11].flatMap((seed) => {
      const order = shuffled(seed);
      return Array.from({ length: 8 }, (_, n) => order.slice(n * 50, n * 50 + 50));
    });
    await Promise.all(
      groups.map((group, n) =>
        recordOutcomes(
          db.pool,
          group.map((each) => judged(each, n % 2 ? "shown" : "hidden")),
        ),
      ),
    );
    for (const run of runs) {
      const sum = (await readBackfillCounts(db.pool, run)).reduce((total, { photos }) => total + photos, 0);
      expect(sum).toBe(400);
    }
  });
});
