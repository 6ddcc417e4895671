import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { type FauxqsServer, startFauxqs } from "fauxqs";
import pg from "pg";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, inject } from "vitest";
import { statusLines } from "../../src/cli/backfill-report.ts";
import { openIntake } from "../../src/cli/intake.ts";
import { connectS3, openObject } from "../../src/image/s3.ts";
import { listStretch } from "../../src/image/s3-bucket.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import type { Known, PhotoJob, Verdict } from "../../src/photo.ts";
import { consume } from "../../src/queue/consumer.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { readBackfillCounts, sampleBackfillChanges } from "../../src/store/backfill-counts.ts";
import {
  endBackfills,
  feedBackfill,
  feedRetries,
  photosOfObjects,
  waitingPhotos,
} from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  applyProposals,
  bestRate,
  changeBackfill,
  discardProposals,
  type NewBackfill,
  readBackfill,
  retryBackfill,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../../src/store/events.ts";
import { registerModel, reportFigures, reportWorker } from "../../src/store/models.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { keepPolicy } from "../../src/store/policies.ts";
import { selectPhotos, viewPhotos } from "../../src/store/selected-photos.ts";
import { type Outcome, recordOutcomes, recordWith } from "../../src/store/verdicts.ts";
import { startFeed } from "../../workers/feed.ts";
import { startWorker } from "../../workers/moderate.ts";
import { BACKENDS, type Database, test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { ofAll, register } from "../verdicts.ts";
import { until, waitersIn } from "../waits.ts";

const samples = inject("samples");
let s3: FauxqsServer;
let client: S3Client;

beforeAll(async () => {
  s3 = await startFauxqs({ port: 0, logger: false });
  s3.createBucket("archive");
  s3.createBucket("thumbs");
  client = new S3Client({ endpoint: s3.address, region: "us-east-1", forcePathStyle: true });
});
afterAll(async () => {
  client.destroy();
  await s3.stop();
});

const putInto = (bucket: string, key: string, body: Uint8Array | string) =>
  client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
const put = (key: string, body: Uint8Array | string) => putInto("archive", key, body);
const judged = (photoId: string, verdict: Verdict, by = "model:m-2", category = "food"): Outcome => ({
  photoId,
  known: {},
  batch: "t-1",
  by,
  policy: "p1",
  result: {
    scores: { categories: { [category]: 0.9 }, human: 0 },
    decision: { verdict, rule: "clear", reason: "because", category, tags: [] },
  },
});
const failed = (photoId: string, transient = false): Outcome => ({
  ...judged(photoId, "shown"),
  result: { failure: "CORRUPT", message: "bad", transient },
});
async function photos(db: Database, ...keys: string[]): Promise<string[]> {
  const refs = keys.map((key) => ({ store: "s3" as const, bucket: "archive", key, version: "", known: {} }));
  return (await registerPhotos(db.pool, refs, "backfill")).map(({ id }) => id);
}
const page = (ids: string[], after = ids.at(-1) ?? "", end = true) => ({
  ids,
  cursor: { after },
  end,
  unreadable: 0,
});
async function gather(pages: AsyncIterable<PhotoJob[]>): Promise<string[]> {
  const ids: string[] = [];
  for await (const each of pages) ids.push(...each.map(({ id }) => id));
  return ids;
}
const counts = async (db: Database, id: string) =>
  (await readBackfillCounts(db.pool, id)).map(({ before, after, code, photos }) => [
    before,
    after,
    code,
    photos,
  ]);

describe("a backfill", () => {
  test("reads the whole of a bucket for no photo, though statistics know nothing of that bucket yet", async ({
    db,
  }) => {
    // nor do they learn of it meanwhile
    await db.pool.query("alter table photos set (autovacuum_enabled = false)");
    await db.pool.query("alter table backfill_photos set (autovacuum_enabled = false)");
    const id = await addBackfill(db.pool, {
      ...ofAll,
      what: { kind: "prefix", bucket: "archive", prefix: "" },
    });
    const client = await db.pool.connect();
    const read: number[] = [];
    for (let n = 0; n < 10; n++) {
      const keys = Array.from({ length: 500 }, (_, k) => `${n}/${String(k).padStart(3, "0")}.jpg`);
      await client.query("begin");
      const { rows } = await client.query(
        "select array_agg(o) as ids from photos_of_objects('s3', 'archive', $1, $2, $3, $3, $3) o",
        [keys, keys.map(() => ""), keys.map(() => null)],
      );
      const fed = await client.query("select from feed_backfill($1, $2, $3, false, $4, 0)", [
        id,
        n === 0 ? null : { after: n },
        { after: n + 1 },
        rows[0].ids,
      ]);
      expect(fed.rowCount).toBe(500);
      const { rows: stats } = await client.query(
        "select sum(idx_tup_fetch + seq_tup_read)::float8 as read from pg_stat_xact_user_tables where relname in ('photos', 'backfill_photos')",
      );
      await client.query("commit");
      read.push(stats[0].read);
    }
    client.release();
    // what a page reads itself, and small tables whole
    expect(Math.max(...read)).toBeLessThan(200 * 500);
  });

  test("waits for what it fed until each is judged, counts how they came out, and is then done", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c", "d", "e");
    await recordOutcomes(db.pool, [
      judged(ids[0]!, "shown", "model:m-1"),
      judged(ids[1]!, "shown", "model:m-2"),
    ]);
    await recordOutcomes(db.pool, [judged(ids[2]!, "hidden", "moderator:ann")]);
    const id = await addBackfill(db.pool, ofAll);
    const fed = await feedBackfill(db.pool, id, null, page(ids));
    expect(fed!.map((photo) => photo.id)).toEqual([ids[0], ids[3], ids[4]]);
    expect(await readBackfill(db.pool, id)).toMatchObject({
      seen: 5,
      fed: 3,
      skipped: 2,
      waiting: 3,
      readAll: true,
    });
    expect(await endBackfills(db.pool)).toEqual([]);
    await recordOutcomes(db.pool, [judged(ids[0]!, "hidden"), judged(ids[3]!, "shown"), failed(ids[4]!)]);
    expect((await counts(db, id)).sort()).toEqual([
      ["pending", "failed", "CORRUPT", 1],
      ["pending", "shown", "", 1],
      ["shown", "hidden", "", 1],
    ]);
    expect(await endBackfills(db.pool)).toEqual([id]);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "done", waiting: 0 });
    // what is judged afterwards is no concern of it
    await recordOutcomes(db.pool, [judged(ids[4]!, "shown")]);
    expect(await counts(db, id)).toHaveLength(3);
  });

  test("with again takes what the model has decided, and never what a moderator has", async ({ db }) => {
    const ids = await photos(db, "a", "b");
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown"), judged(ids[1]!, "hidden", "moderator:ann")]);
    const id = await addBackfill(db.pool, { ...ofAll, again: true });
    expect((await feedBackfill(db.pool, id, null, page(ids)))!.map((photo) => photo.id)).toEqual([ids[0]]);
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown")]);
    expect(await counts(db, id)).toEqual([["shown", "kept", "", 1]]);
  });

  test.for([
    { propose: true, again: false },
    { propose: false, again: true },
    { propose: false, again: false },
  ])("feeds a photo once that its list names on several pages: %o", async (how, { db }) => {
    const ids = await photos(db, "a", "b", "c");
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown", how.again ? "model:m-2" : "model:m-1")]);
    const id = await addBackfill(db.pool, { ...ofAll, ...how });
    expect(await feedBackfill(db.pool, id, null, page(ids, "1", false))).toHaveLength(3);
    const other = { ...judged(ids[0]!, "hidden"), policy: "p2", fed: true as const };
    await recordOutcomes(db.pool, [other, { ...failed(ids[1]!), fed: true }]);
    // two were judged, and one waits
    expect(await feedBackfill(db.pool, id, { after: "1" }, page(ids, "2", false))).toEqual([]);
    expect(await readBackfill(db.pool, id)).toMatchObject({ fed: 3, skipped: 3, waiting: 1 });
    expect((await counts(db, id)).sort()).toEqual([
      ["pending", "failed", "CORRUPT", 1],
      ["shown", "hidden", "", 1],
    ]);
  });

  test.for([
    { propose: false, again: true },
    { propose: true, again: true },
    { propose: true, again: false },
    { propose: false, again: false },
  ])(
    "counts a photo once that its list names on several pages, also where its verdict stayed: %o",
    async (how, { db }) => {
      const ids = await photos(db, "a", "b", "c");
      const what = { kind: "manifest", at: "/list.csv" };
      // whoever judges is another model than the one that counts as having decided
      const model = how.again ? "model:m-2" : "model:m-1";
      await recordOutcomes(
        db.pool,
        ids.map((id) => judged(id, "shown")),
      );
      const id = await addBackfill(db.pool, { ...ofAll, ...how, what, model });
      expect(await feedBackfill(db.pool, id, null, page(ids, "1", false))).toHaveLength(3);
      // beside another run, whose the verdict is
      const later = await addBackfill(db.pool, { ...ofAll, what, model: "model:m-0" });
      await feedBackfill(db.pool, later, null, page([ids[1]!], "1"));
      await recordOutcomes(db.pool, [
        { ...judged(ids[0]!, "shown"), fed: true },
        { ...judged(ids[1]!, "shown"), policy: "p2", fed: true },
        { ...judged(ids[2]!, "shown"), policy: "p2" },
      ]);
      const before = await counts(db, id);
      expect(await feedBackfill(db.pool, id, { after: "1" }, page(ids, "2", false))).toEqual([]);
      expect(await feedBackfill(db.pool, id, { after: "2" }, page([ids[0]!], "3"))).toEqual([]);
      expect(await readBackfill(db.pool, id)).toMatchObject({ fed: 3, waiting: 0, judged: 3 });
      expect(await counts(db, id)).toEqual(before);
      expect(await sampleBackfillChanges(db.pool, id, 10)).toEqual([]);
    },
  );

  test("keeps a moderator's verdict that came while the photo waited", async ({ db }) => {
    const [a] = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page([a!]));
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [a]);
    await recordOutcomes(db.pool, [judged(a!, "shown")]);
    expect(await counts(db, id)).toEqual([["hidden", "kept", "", 1]]);
    expect((await db.pool.query("select state from photos")).rows).toEqual([{ state: "hidden" }]);
  });

  test("is fed from where it stands: who read an older page, or comes after a pause, feeds nothing", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b");
    const id = await addBackfill(db.pool, ofAll);
    expect(await feedBackfill(db.pool, id, null, page([ids[0]!], "1", false))).toHaveLength(1);
    expect(await feedBackfill(db.pool, id, null, page([ids[1]!], "2", false))).toBeUndefined();
    await changeBackfill(db.pool, id, "paused", "me", "lunch");
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2"))).toBeUndefined();
    await changeBackfill(db.pool, id, "running", "me", "");
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2"))).toHaveLength(1);
    expect(await readBackfill(db.pool, id)).toMatchObject({ cursor: { after: "2" }, seen: 2, fed: 2 });
  });

  test("is fed at its rate, however many feed it, and saves up no more than a second", async ({ db }) => {
    const ids = await photos(db, ..."abcdefgh");
    const id = await addBackfill(db.pool, { ...ofAll, maxRate: 0.01 });
    const again = await addBackfill(db.pool, { ...ofAll, maxRate: 0.01 });
    const rests = async (run: string) => (await readBackfill(db.pool, run))!.rests;
    const later = (s: number) =>
      db.pool.query("update backfills set rests_until = rests_until - make_interval(secs => $1)", [s]);
    expect(await rests(id)).toBe(false);
    expect(await feedBackfill(db.pool, id, null, page([ids[0]!], "1", false))).toHaveLength(1);
    expect(await rests(id)).toBe(true);
    // who read the row before it was fed
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2", false))).toBeUndefined();
    expect(await readBackfill(db.pool, id)).toMatchObject({ cursor: { after: "1" }, fed: 1 });
    await later(101);
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2", false))).toHaveLength(1);
    // a long stop is not made up for
    await later(10_000);
    expect(await feedBackfill(db.pool, id, { after: "2" }, page([ids[2]!], "3", false))).toHaveLength(1);
    expect(await feedBackfill(db.pool, id, { after: "3" }, page([ids[3]!], "4", false))).toBeUndefined();
    // neither at its beginning nor after a stop are there two seconds' worth in one
    const fast = await addBackfill(db.pool, { ...ofAll, maxRate: 2 });
    for (const from of [0, 2]) {
      const cursor = from === 0 ? null : { after: String(from) };
      const two = page(ids.slice(from, from + 2), String(from + 2), false);
      expect(await feedBackfill(db.pool, fast, cursor, two)).toHaveLength(2);
      expect(await rests(fast)).toBe(true);
      await later(10_000);
    }
    // what is skipped costs nothing
    await recordOutcomes(db.pool, [judged(ids[4]!, "shown"), failed(ids[5]!)]);
    expect(await feedBackfill(db.pool, again, null, page([ids[4]!], "1", false))).toEqual([]);
    expect(await feedBackfill(db.pool, again, { after: "1" }, page([ids[5]!], "2", false))).toHaveLength(1);
    // and what is tried again costs as much
    await later(10_000);
    await recordOutcomes(db.pool, [failed(ids[5]!)]);
    await retryBackfill(db.pool, again, undefined, "me");
    expect(await feedRetries(db.pool, again, 1)).toHaveLength(1);
    expect(await rests(again)).toBe(true);
    expect(await feedRetries(db.pool, again, 1)).toBeUndefined();
  });

  test("that was fed before a stop is queued with its rendition, unless another waits for the photo itself", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b");
    const [small, plain] = [
      await addBackfill(db.pool, { ...ofAll, rendition: "s/{key}" }),
      await addBackfill(db.pool, ofAll),
    ];
    await feedBackfill(db.pool, small, null, page(ids));
    await feedBackfill(db.pool, plain, null, page([ids[1]!]));
    const templates: (string | null)[] = [];
    for await (const each of waitingPhotos(db.pool, 0))
      templates.push(...each.map(({ template }) => template));
    expect(templates).toEqual(["s/{key}", null]);
  });

  test("that is cancelled waits for what is in the queue, whose verdicts are its own, and cannot be changed any more", async ({
    db,
  }) => {
    const ids = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual(ids);
    await changeBackfill(db.pool, id, "cancelled", "me", "wrong bucket");
    // should the queue be lost, they are queued again, or it would wait for ever
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual(ids);
    await expect(rollbackBackfill(db.pool, id, "0", "me")).rejects.toThrow(/in the queue/);
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown")]);
    expect(await counts(db, id)).toEqual([["pending", "shown", "", 1]]);
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual([]);
    expect(await rollbackBackfill(db.pool, id, "0", "me")).toMatchObject({ restored: 1 });
    await expect(changeBackfill(db.pool, id, "running", "me", "")).rejects.toThrow(/is cancelled already/);
    await expect(retryBackfill(db.pool, id, undefined, "me")).rejects.toThrow(
      /was cancelled: maitred backfill start --failed tries again what failed/,
    );
    await expect(changeBackfill(db.pool, "99", "paused", "me", "x")).rejects.toThrow(/no backfill 99/);
  });

  test("tries its failed photos again, counts each of them once, and is done again", async ({ db }) => {
    const ids = await photos(db, "a", "b");
    await recordOutcomes(db.pool, [judged(ids[1]!, "shown", "model:m-1")]);
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    await recordOutcomes(db.pool, [failed(ids[0]!), failed(ids[1]!, true)]);
    expect((await counts(db, id)).sort()).toEqual([
      ["pending", "failed", "CORRUPT", 1],
      ["shown", "kept", "CORRUPT", 1],
    ]);
    await endBackfills(db.pool);
    expect(await retryBackfill(db.pool, id, "GONE", "me")).toBe(0);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "done" });
    expect(await retryBackfill(db.pool, id, "CORRUPT", "me")).toBe(2);
    expect(await endBackfills(db.pool)).toEqual([]);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "running", waiting: 0, retrying: true });
    expect((await feedRetries(db.pool, id, 10))!.map((photo) => photo.id)).toEqual(ids);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "running", waiting: 2, retrying: false });
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown"), judged(ids[1]!, "shown")]);
    expect((await counts(db, id)).sort()).toEqual([
      ["failed", "shown", "", 1],
      ["shown", "shown", "", 1],
    ]);
    expect(await endBackfills(db.pool)).toEqual([id]);
  });

  test("does not end at the moment at which somebody has its failed photos tried again", async ({ db }) => {
    const [a] = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page([a!]));
    await recordOutcomes(db.pool, [failed(a!)]);
    const operator = await db.pool.connect();
    try {
      await operator.query("begin");
      expect(await retryBackfill(operator, id, undefined, "me")).toBe(1);
      // it waits for nobody, and what is held it leaves to the next call
      expect(await endBackfills(db.pool)).toEqual([]);
      await operator.query("commit");
      expect(await endBackfills(db.pool)).toEqual([]);
    } finally {
      operator.release(true);
    }
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "running", retrying: true });
  });

  test("that read a rendition gives way to the upload's own verdict, and never replaces that", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c");
    const id = await addBackfill(db.pool, { ...ofAll, rendition: "s/{key}" });
    await feedBackfill(db.pool, id, null, page(ids));
    const of = (photoId: string, verdict: Verdict, rendition: boolean): Outcome => {
      const outcome = judged(photoId, verdict);
      if ("failure" in outcome.result) throw new Error("no failure is judged");
      const { decision, scores } = outcome.result;
      return {
        ...outcome,
        ...(rendition && { fed: true }),
        result: { decision, scores, ...(rendition && { rendition }) },
      };
    };
    const states = async () =>
      (await db.pool.query("select state from photos order by id")).rows.map(({ state }) => state);
    await recordOutcomes(db.pool, [of(ids[0]!, "shown", true)]);
    await recordOutcomes(db.pool, [of(ids[1]!, "hidden", false)]);
    // both may be committed together
    await recordOutcomes(db.pool, [of(ids[2]!, "shown", true), of(ids[2]!, "hidden", false)]);
    expect(await states()).toEqual(["shown", "hidden", "hidden"]);
    for (let turn = 0; turn < 2; turn++) {
      await recordOutcomes(db.pool, [of(ids[0]!, "hidden", false), of(ids[1]!, "shown", true)]);
      expect(await states()).toEqual(["hidden", "hidden", "hidden"]);
    }
    await recordOutcomes(db.pool, [of(ids[0]!, "shown", true)]);
    expect(await states()).toEqual(["hidden", "hidden", "hidden"]);
    expect((await db.pool.query("select from verdicts")).rowCount).toBe(4);
  });

  test("feeds what it tries again page by page, each photo once though it fails again, and not what was replaced", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c", "d", "e");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    await recordOutcomes(
      db.pool,
      ids.map((each) => failed(each)),
    );
    await db.pool.query("update photos set superseded_at = now() where id = $1", [ids[1]]);
    expect(await retryBackfill(db.pool, id, undefined, "me")).toBe(5);
    const again: string[][] = [];
    while ((await readBackfill(db.pool, id))!.retrying) {
      const fed = (await feedRetries(db.pool, id, 2))!;
      again.push(fed.map((photo) => photo.id));
      await recordOutcomes(
        db.pool,
        fed.map((photo) => failed(photo.id)),
      );
    }
    expect(again).toEqual([[ids[0]], [ids[2], ids[3]], [ids[4]]]);
    expect(await endBackfills(db.pool)).toEqual([id]);
    // they had failed for this before
    expect(await counts(db, id)).toEqual([["failed", "kept", "CORRUPT", 4]]);
    await changeBackfill(db.pool, await addBackfill(db.pool, ofAll), "paused", "me", "lunch");
    expect(await feedRetries(db.pool, "2", 2)).toBeUndefined();
  });

  test("does not wait for a photo that was removed meanwhile", async ({ db }) => {
    const ids = await photos(db, "a", "b");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    await db.pool.query("update photos set superseded_at = now() where id = $1", [ids[0]]);
    await db.pool.query("delete from photos where id = $1", [ids[1]]);
    expect(await endBackfills(db.pool)).toEqual([id]);
  });

  test("reads no photo but those that wait to see whether they are still there", async ({ db }) => {
    await db.pool.query(
      "insert into photos (store, bucket, key) select 's3', 'archive', n::text from generate_series(1, 10000) n",
    );
    await addBackfill(db.pool, ofAll);
    await db.pool.query(
      "insert into backfill_photos select p.id, b.id from photos p, backfills b limit 2000",
    );
    await db.pool.query("analyze photos, backfill_photos");
    const client = await db.pool.connect();
    const read = async (): Promise<number> => {
      const { rows } = await client.query(
        "select (idx_tup_fetch + seq_tup_read)::float8 as read from pg_stat_xact_user_tables where relname = 'photos'",
      );
      return rows[0].read;
    };
    await client.query("begin");
    const before = await read();
    await client.query("select end_backfills()");
    expect((await read()) - before).toBe(2_000);
    await client.query("rollback");
    client.release();
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
      await recordWith(worker, [judged(a!, "shown"), judged(b!, "shown", "model:m-1")]);
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
      await recordWith(worker, [judged(b!, "shown")]);
      expect(await endBackfills(feeder as never)).toEqual([other]);
      // were the first photo's row held for it, each would wait for the other
      await recordWith(worker, [judged(a!, "shown")]);
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

describe("a listing", () => {
  const object = (key: string, version = "etag:1") => ({
    store: "s3" as const,
    bucket: "archive",
    key,
    version,
    known: { listing: "7" },
  });
  const event = (kind: "created" | "removed", key: string, version: string, order: string) => ({
    ...object(key, version),
    kind,
    order,
    known: {},
  });

  test("makes known what is new, and finds what is known, whatever version it has", async ({ db }) => {
    await recordEvents(db.pool, [event("created", "a", "v2", "10")], "right");
    const found = await photosOfObjects(db.pool, [object("a"), object("b"), object("b")]);
    expect(found).toHaveLength(2);
    const { rows } = await db.pool.query(
      "select key, version, listing, lane, superseded_at from photos order by key",
    );
    expect(rows).toEqual([
      { key: "a", version: "v2", listing: "7", lane: "live", superseded_at: null },
      { key: "b", version: "etag:1", listing: "7", lane: "backfill", superseded_at: null },
    ]);
    expect(await photosOfObjects(db.pool, [object("a"), object("b")])).toHaveLength(2);
    expect((await db.pool.query("select key from object_order")).rows).toEqual([{ key: "a" }]);
  });

  test("fills in what was not known of a photo, and replaces nothing", async ({ db }) => {
    const [, b] = await photos(db, "a", "b");
    await recordOutcomes(db.pool, [judged(b!, "shown")]);
    await db.pool.query("update photos set listing = '1' where id = $1", [b]);
    await db.pool.query(
      "insert into photos (store, bucket, key, superseded_at) values ('s3', 'archive', 'c', now())",
    );
    await db.pool.query(
      "insert into photos (store, bucket, key, version) values ('s3', 'archive', 'd', 'etag:2')",
    );
    const told = (key: string, known: Known) => ({ ...object(key), known });
    await photosOfObjects(db.pool, [
      told("b", { listing: "2", uploader: "user", claimed: "menu" }),
      told("a", {}),
      told("c", { listing: "3" }),
      // what is said of another version is not of this photo
      told("d", { claimed: "food" }),
      told("a", { listing: "2" }),
    ]);
    await photosOfObjects(db.pool, [
      told("a", { listing: "9", claimed: "food" }),
      told("b", { claimed: "food" }),
    ]);
    const { rows } = await db.pool.query(
      "select key, concat_ws(' ', version, listing, uploader, claimed) as known from photos order by id",
    );
    expect(rows).toEqual([
      { key: "a", known: " 2 food" },
      { key: "b", known: " 1 user menu" },
      { key: "c", known: "" },
      { key: "d", known: "etag:2" },
      { key: "c", known: "etag:1 3" },
    ]);
    // what is counted by listing follows
    expect((await db.pool.query("select * from check_rollups()")).rows).toEqual([]);
  });

  test("that names several versions of an object makes the last of them known, with what it says of that", async ({
    db,
  }) => {
    const told = (key: string, version: string, listing: string) => ({
      ...object(key, version),
      known: { listing },
    });
    await recordEvents(db.pool, [event("created", "b", "v2", "10")], "right");
    await photosOfObjects(db.pool, [
      ...["v1", "v3", "v2"].map((version) => told("a", version, version)),
      ...["v1", "v2"].map((version) => told("b", version, version)),
    ]);
    const { rows } = await db.pool.query("select key, version, listing from photos order by key");
    expect(rows).toEqual(["a", "b"].map((key) => ({ key, version: "v2", listing: "v2" })));
  });

  test("that is old brings nothing back that an event removed", async ({ db }) => {
    await recordEvents(
      db.pool,
      [
        event("created", "a", "etag:1", "10"),
        event("removed", "a", "", "11"),
        event("removed", "b", "", "5"),
      ],
      "right",
    );
    expect(await photosOfObjects(db.pool, [object("a"), object("b")])).toEqual([]);
  });

  test("shows nothing of an older version that is the object again and that a moderator had hidden: a sweep takes that", async ({
    db,
  }) => {
    const [first] = await recordEvents(db.pool, [event("created", "a", "v1", "10")], "right");
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [first!.photoId]);
    // of which no event tells that v1 is the object again
    await recordEvents(
      db.pool,
      [event("created", "a", "v2", "11"), event("removed", "a", "v2", "12")],
      "right",
    );
    for (const version of ["etag:1", ""]) {
      const found = await photosOfObjects(db.pool, [object("a", version)]);
      expect(found).toHaveLength(1);
      const id = await addBackfill(db.pool, ofAll);
      expect(await feedBackfill(db.pool, id, null, page(found))).toEqual([]);
      expect(await readBackfill(db.pool, id)).toMatchObject({ seen: 1, fed: 0, skipped: 1 });
    }
    expect(await registerPhotos(db.pool, [object("a")], "live")).toMatchObject([{ state: "withdrawn" }]);
    const seen = async () =>
      (
        await db.pool.query(
          "select version from photos where superseded_at is null union all select 'of ' || count(*) from photos",
        )
      ).rows.map(({ version }) => version);
    expect(await seen()).toEqual(["of 2"]);
    // one that has no version id any more was overwritten by another
    await recordEvents(db.pool, [event("created", "a", "etag:1", "13")], "right");
    await registerPhotos(db.pool, [object("a", "etag:2")], "live");
    expect(await seen()).toEqual(["etag:2", "of 4"]);
    await recordEvents(db.pool, [event("removed", "a", "", "14")], "right");
    expect(await registerPhotos(db.pool, [object("a", "etag:1")], "live")).toMatchObject([
      { state: "withdrawn" },
    ]);
    expect(await seen()).toEqual(["of 4"]);
  });

  test("and an event of the same new object leave one current photo, the event's", async ({ db }) => {
    for (let round = 0; round < 20; round++) {
      const key = `race-${round}`;
      await Promise.all([
        photosOfObjects(db.pool, [object(key, "etag:old")]),
        recordEvents(db.pool, [event("created", key, "etag:new", "10")], "right"),
      ]);
    }
    const { rows } = await db.pool.query("select distinct version from photos where superseded_at is null");
    expect(rows).toEqual([{ version: "etag:new" }]);
    const { rows: current } = await db.pool.query(
      "select count(*)::int from photos where superseded_at is null",
    );
    expect(current).toEqual([{ count: 20 }]);
  });
});

test("the role of workers may do all that a feeder, a worker and an operator do with backfills", async ({
  db,
}) => {
  const worker = new pg.Pool({ connectionString: db.url, options: "-c role=maitred_worker" });
  const photo = { store: "s3", bucket: "b", version: "etag:1", known: {} } as const;
  const ids = await photosOfObjects(
    worker,
    ["x", "y"].map((key) => ({ ...photo, key })),
  );
  await keepPolicy(worker, { id: "p1", yaml: "", thresholds: { food: 0.5 } });
  const over = async (how: Partial<NewBackfill>, outcomes: Outcome[]): Promise<string> => {
    const id = await addBackfill(worker, { ...ofAll, ...how });
    await feedBackfill(worker, id, null, page(ids));
    await recordOutcomes(worker, outcomes);
    await endBackfills(worker);
    return id;
  };
  const first = await over({}, [judged(ids[0]!, "shown"), failed(ids[1]!)]);
  expect(await retryBackfill(worker, first, undefined, "me")).toBe(1);
  expect(await feedRetries(worker, first, 10)).toHaveLength(1);
  await recordOutcomes(worker, [judged(ids[1]!, "hidden")]);
  expect(await endBackfills(worker)).toEqual([first]);
  expect(await rollbackBackfill(worker, first, "0", "me")).toMatchObject({ restored: 2 });
  const proposal = (id: string): Outcome => ({ ...judged(id, "hidden"), fed: true });
  const proposed = await over({ propose: true }, ids.map(proposal));
  expect(await applyProposals(worker, proposed, "0", "me", 1)).toMatchObject({ taken: 1, changed: 1 });
  expect(await discardProposals(worker, proposed, "0", "me")).toMatchObject({ gone: 1 });
  await changeBackfill(worker, await addBackfill(worker, ofAll), "cancelled", "me", "no need");
  await registerPhotos(worker, [{ ...photo, key: "new" }], "live");
  await worker.query("insert into unqueued select unnest($1::bigint[])", [ids]);
  await markQueued(worker, ids);
  expect(await unqueuedPhotos(worker, 0, 10)).toEqual([]);
  await worker.end();
});

describe("a choice of photos", () => {
  test("narrows by state, code, model, score, time, listing and uploader, a bounded stretch at a time", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c", "d");
    await recordOutcomes(db.pool, [
      judged(ids[0]!, "shown", "model:m-1"),
      judged(ids[1]!, "hidden"),
      failed(ids[2]!),
    ]);
    await db.pool.query("update photos set listing = '42', uploader = 'user' where id = $1", [ids[3]]);
    const chosen = async (filter: object, limit = 10) =>
      (await selectPhotos(db.pool, { upTo: "1000", ...filter }, "", limit)).found
        .map((id) => "abcd"[ids.indexOf(id)])
        .join("");
    expect(await chosen({})).toBe("abcd");
    expect(await chosen({ upTo: ids[1] })).toBe("ab");
    expect(await chosen({ state: "pending" })).toBe("d");
    expect(await chosen({ state: "failed", code: "CORRUPT" })).toBe("c");
    expect(await chosen({ state: "failed", code: "GONE" })).toBe("");
    expect(await chosen({ notBy: "model:m-1" })).toBe("bc");
    expect(await chosen({ below: 0.95 })).toBe("ab");
    expect(await chosen({ below: 0.9 })).toBe("");
    expect(await chosen({ listing: "42" })).toBe("d");
    expect(await chosen({ uploader: "user", listing: "41" })).toBe("");
    expect(await chosen({ until: "2020-01-01T00:00:00Z" })).toBe("");
    expect(await chosen({ since: "2020-01-01T00:00:00Z" })).toBe("abcd");
    expect(await selectPhotos(db.pool, { upTo: "1000" }, "", 2)).toEqual({
      found: ids.slice(0, 2),
      after: ids[1],
      end: false,
    });
    expect(await selectPhotos(db.pool, { upTo: "60000" }, ids[3]!, 2)).toMatchObject({
      found: [],
      end: false,
    });
    expect(await selectPhotos(db.pool, { upTo: "60000" }, "50004", 2)).toMatchObject({
      found: [],
      after: "60000",
      end: true,
    });
  });

  test("may be a view, and one that is none is refused by name", async ({ db }) => {
    const ids = await photos(db, "a", "b", "c");
    await db.pool.query(`create view "Mine" as select id as photo_id from photos where key <> 'b'`);
    expect(await viewPhotos(db.pool, "public.Mine", "", 1)).toEqual({
      found: [ids[0]],
      after: ids[0],
      end: false,
    });
    expect(await viewPhotos(db.pool, "Mine", ids[0]!, 2)).toEqual({
      found: [ids[2]],
      after: ids[2],
      end: true,
    });
    await db.pool.query(`create view odd as
      select id::text as photo_id from photos union all select (id * 5)::text from photos union all select null`);
    const [first, second, third] = ids.map(Number) as [number, number, number];
    const named = [first, second, third, first * 5, second * 5, third * 5].sort((a, b) => a - b);
    const found: number[] = [];
    for (let [after, end] = ["", false]; !end; ) {
      const stretch = await viewPhotos(db.pool, "odd", after, 2);
      found.push(...stretch.found.map(Number));
      [after, end] = [stretch.after, stretch.end];
      expect(found.length).toBeLessThan(9);
    }
    expect(found).toEqual([...new Set(named)]);
    for (const odd of ["gen_random_uuid()", "'x'", "1 / 0", "1e30", "id = 0", "now()"]) {
      await db.pool.query(
        `drop view odd; create view odd as select case when id > 0 then ${odd} end as photo_id from photos`,
      );
      await expect(viewPhotos(db.pool, "odd", "", 2), odd).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    }
    await expect(viewPhotos(db.pool, "none", "", 1)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(viewPhotos(db.pool, "pgmigrations", "", 1)).rejects.toThrow(/a view with a column photo_id/);
  });
});

test.runIf(BACKENDS.length > 1)(
  "what Redis lost without a dump is queued again within seconds",
  async ({ db, configFor }) => {
    const ids = await photos(db, "l-1", "l-2", "l-3");
    const id = await addBackfill(db.pool, ofAll);
    const scope = new Scope();
    const socket = `/tmp/maitred-lost-${process.pid}.sock`;
    const startRedis = async () => {
      const child = spawn("redis-server", ["--port", "0", "--unixsocket", socket, "--save", ""], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await new Promise<void>((resolve) => {
        child.stdout.on("data", (chunk: Buffer) => /ready to accept/i.test(chunk.toString()) && resolve());
      });
      return child;
    };
    let redis = await startRedis();
    try {
      const config = configFor("redis", {
        MAITRED_QUEUE_URL: "redis://localhost",
        MAITRED_QUEUE_OPTIONS: JSON.stringify({ path: socket }),
      });
      await startFeed(config, createLog("silent"), scope);
      const { queues } = openIntake(config, scope, () => {});
      await expect.poll(() => queues.held(ids), { timeout: 10_000 }).toBe(3);
      redis.kill("SIGKILL");
      await once(redis, "exit");
      redis = await startRedis();
      await expect.poll(() => queues.held(ids), { timeout: 20_000 }).toBe(3);
      expect(await readBackfill(db.pool, id)).toMatchObject({ fed: 3, waiting: 3 });
    } finally {
      await scope.close();
      redis.kill();
    }
  },
  40_000,
);

test("a list of which no record names a photo, and an inventory's damaged file, end paused with why", async ({
  db,
  configFor,
}) => {
  await put("useless.csv", "key\n1.jpg\n");
  await put("damaged/1.csv", '"archive","1.jpg"\n');
  const inventory = {
    destinationBucket: "arn:aws:s3:::archive",
    fileFormat: "CSV",
    fileSchema: "Bucket, Key",
    files: [{ key: "damaged/1.csv", MD5checksum: "0".repeat(32) }],
  };
  await put("damaged/manifest.json", JSON.stringify(inventory));
  const starts = (key: string) =>
    addBackfill(db.pool, { ...ofAll, what: { kind: "manifest", at: `s3://archive/${key}` } });
  const runs = [await starts("useless.csv"), await starts("damaged/manifest.json")];
  const scope = new Scope();
  try {
    const config = configFor(BACKENDS[0]!, { MAITRED_S3_ENDPOINT: s3.address });
    await startFeed(config, createLog("silent"), scope);
    const states = () => Promise.all(runs.map(async (id) => (await readBackfill(db.pool, id))!.state));
    await expect.poll(states, { timeout: 20_000 }).toEqual(["paused", "paused"]);
    expect(await readBackfill(db.pool, runs[0]!)).toMatchObject({
      why: expect.stringMatching(
        /^CONFIG_INVALID: .*useless\.csv: none of its 1 records names a photo: record 1/,
      ),
    });
    expect(await readBackfill(db.pool, runs[1]!)).toMatchObject({
      fed: 0,
      why: expect.stringMatching(/^CONFIG_INVALID: .*damaged\/1\.csv: expected the MD5/),
    });
  } finally {
    await scope.close();
  }
}, 40_000);

test("a store that takes requests and never answers is away, like one that takes none", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const s3Endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const through = connectS3({ s3Endpoint, s3Region: "us-east-1", s3PathStyle: "auto" }, 1, 1, 100);
  const away = { code: "STORE_UNAVAILABLE", message: expect.stringContaining("100 ms") };
  await expect(listStretch(through, "archive", "", "", 1)).rejects.toMatchObject(away);
  await expect(openObject(through, "archive", "list.csv")).rejects.toMatchObject(away);
  through.destroy();
  silent.closeAllConnections();
  silent.close();
}, 10_000);

test("a store that stops in the middle of a list is away, and holds no connection", async () => {
  const half = "bucket,key\n".padEnd(200_000, "archive,1.jpg\n");
  const stalling = createServer((request, response) => {
    const whole = request.url!.includes("whole");
    response.writeHead(200, { "content-length": whole ? half.length : 2 * half.length });
    if (whole) response.end(half);
    else response.write(half);
  }).listen(0, "127.0.0.1");
  await once(stalling, "listening");
  const s3Endpoint = `http://127.0.0.1:${(stalling.address() as AddressInfo).port}`;
  const through = connectS3({ s3Endpoint, s3Region: "us-east-1", s3PathStyle: "auto" }, 1);
  const read = async (key: string, waitMs?: number) =>
    Buffer.concat(await (await openObject(through, "archive", key, waitMs)).toArray()).toString();
  await expect(read("stalls.csv", 100)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: "archive/stalls.csv: no more of it came within 100 ms",
  });
  expect(await read("whole.csv")).toBe(half);
  (await openObject(through, "archive", "stalls.csv")).destroy();
  expect(await read("whole.csv")).toBe(half);
  through.destroy();
  stalling.closeAllConnections();
  stalling.close();
}, 20_000);

test("a list in a bucket is fed however often its run was paused and resumed before it was read to its end", async ({
  db,
  configFor,
}) => {
  await put("long.csv", `bucket,key\n${"archive,there.jpg\n".repeat(400_000)}`);
  const id = await addBackfill(db.pool, {
    ...ofAll,
    maxRate: 1,
    what: { kind: "manifest", at: "s3://archive/long.csv" },
  });
  const scope = new Scope();
  try {
    const config = configFor(BACKENDS[0]!, { MAITRED_S3_ENDPOINT: s3.address });
    await startFeed(config, createLog("silent"), scope);
    const seen = async () => (await readBackfill(db.pool, id))!.seen;
    // its photo is fed once and skipped then, which takes no time of its rate
    for (let times = 0; times < 6; times++) {
      const before = await seen();
      await expect.poll(seen, { timeout: 10_000 }).toBeGreaterThan(before);
      await changeBackfill(db.pool, id, "paused", "ada", "lunch");
      // the feeder has seen that, once it feeds something else
      const other = await addBackfill(db.pool, {
        ...ofAll,
        what: { kind: "prefix", bucket: "archive", prefix: "no/" },
      });
      await expect
        .poll(async () => (await readBackfill(db.pool, other))!.state, { timeout: 10_000 })
        .toBe("done");
      await changeBackfill(db.pool, id, "running", "ada", "");
    }
  } finally {
    await scope.close();
  }
}, 120_000);

describe.each(BACKENDS)("the feeder on %s", (backend) => {
  test("feeds a prefix and a manifest to a worker, which judges every photo once", async ({
    configFor,
    db,
    folder,
  }) => {
    const scope = new Scope();
    try {
      const names = ["business-product-1.jpg", "landing-portrait-1.jpg", "menu-1.jpg"];
      for (const name of names) await put(`${backend}/2019/a+b ${name}`, readFileSync(join(samples, name)));
      await put(`${backend}/2019/words.jpg`, "not a photo");
      await put(`${backend}/2020/late.jpg`, readFileSync(join(samples, names[0]!)));
      const list = join(folder, "list.csv.gz");
      writeFileSync(
        list,
        gzipSync(
          `bucket,key,listing\narchive,${backend}/2020/late.jpg,42\narchive,${backend}/gone.jpg,\n,x,\n`,
        ),
      );
      const config = configFor(backend, {
        MAITRED_S3_ENDPOINT: s3.address,
        MAITRED_FEED_LIMIT: "2",
        MAITRED_BACKOFF_MS: "20",
      });
      const log = createLog("silent");
      const prefix = { kind: "prefix" as const, bucket: "archive", prefix: `${backend}/2019/` };
      const first = await addBackfill(db.pool, { ...ofAll, what: prefix });
      const second = await addBackfill(db.pool, { ...ofAll, what: { kind: "manifest", at: list } });
      await startWorker(config, log, scope);
      await startFeed(config, log, scope);
      for (const id of [first, second])
        await expect
          .poll(async () => (await readBackfill(db.pool, id))!.state, { timeout: 25_000 })
          .toBe("done");
      expect(await readBackfill(db.pool, first)).toMatchObject({ seen: 4, fed: 4, skipped: 0 });
      expect(await readBackfill(db.pool, second)).toMatchObject({ seen: 2, fed: 2, unreadable: 1 });
      const { rows } = await db.pool.query("select key, state, failure, listing from photos order by key");
      expect(
        rows.map(({ key, state, failure, listing }) => [
          key.slice(backend.length + 1),
          state === "pending",
          failure,
          listing,
        ]),
      ).toEqual([
        ["2019/a+b business-product-1.jpg", false, null, null],
        ["2019/a+b landing-portrait-1.jpg", false, null, null],
        ["2019/a+b menu-1.jpg", false, null, null],
        ["2019/words.jpg", false, "UNSUPPORTED_FORMAT", null],
        ["2020/late.jpg", false, null, "42"],
        ["gone.jpg", false, "GONE", null],
      ]);
      expect((await db.pool.query("select count(*)::int as n from verdicts")).rows).toEqual([{ n: 6 }]);
    } finally {
      await scope.close();
    }
  });

  test("queues uploads that are in no queue, where neither the API nor a listener runs", async ({
    configFor,
    db,
  }) => {
    const scope = new Scope();
    try {
      await put(`${backend}/upload.jpg`, readFileSync(join(samples, "menu-1.jpg")));
      const config = configFor(backend, { MAITRED_S3_ENDPOINT: s3.address });
      const key = `${backend}/upload.jpg`;
      const photo = { store: "s3", bucket: "archive", key, version: "", known: {} } as const;
      const [registered] = await registerPhotos(db.pool, [photo], "live");
      // as rollback_backfill leaves it
      await db.pool.query("insert into unqueued values ($1, now() - interval '1 minute')", [registered!.id]);
      await startWorker(config, createLog("silent"), scope);
      await startFeed(config, createLog("silent"), scope);
      const state = async () => (await db.pool.query("select state from photos")).rows[0].state;
      await expect.poll(state, { timeout: 25_000 }).not.toBe("pending");
    } finally {
      await scope.close();
    }
  });

  test("tells whoever looks at a run that it stands back for an upload, or that it does not run any more", async ({
    configFor,
    db,
  }) => {
    await photos(db, "p1", "p2", "p3");
    const id = await addBackfill(db.pool, ofAll);
    const line = async () => statusLines((await readBackfill(db.pool, id))!, [])[1];
    const nobody = "running, waits for maitred feed or maitred up: none runs";
    expect(await line()).toBe(nobody);
    const scope = new Scope();
    try {
      const config = configFor(backend, { MAITRED_LIVE_TARGET_MS: "100", MAITRED_FEED_LIMIT: "1" });
      const upload = { store: "s3", bucket: "archive", key: "waits.jpg", version: "" } as const;
      await openIntake(config, scope, () => {}).take([upload], "live");
      await startFeed(config, createLog("silent"), scope);
      await expect
        .poll(line, { timeout: 20_000 })
        .toBe("running, waits for an upload that is older than MAITRED_LIVE_TARGET_MS");
    } finally {
      await scope.close();
    }
    await db.pool.query("update feeding set heard_at = heard_at - interval '31 seconds'");
    expect(await line()).toBe(nobody);
  });

  test("feeds while the live lane is paused, whatever waits in it, and says when its own is", async ({
    configFor,
    db,
  }) => {
    await photos(db, "p1", "p2", "p3");
    const id = await addBackfill(db.pool, ofAll);
    const scope = new Scope();
    try {
      const config = configFor(backend, { MAITRED_LIVE_TARGET_MS: "100", MAITRED_FEED_LIMIT: "1" });
      const upload = { store: "s3", bucket: "archive", key: "waits.jpg", version: "" } as const;
      const { queues, take } = openIntake(config, scope, () => {});
      await queues.pause("live");
      await queues.pause("backfill");
      await take([upload], "live");
      await until(async () => (await queues.depth("live")).oldestMs > 100);
      await startFeed(config, createLog("silent"), scope);
      await expect.poll(async () => (await queues.depth("backfill")).waiting, { timeout: 20_000 }).toBe(1);
      expect(statusLines((await readBackfill(db.pool, id))!, [])[1]).toBe(
        "running, waits for the lane backfill, which is paused: maitred queue status says by whom",
      );
    } finally {
      await scope.close();
    }
  });

  test("proposes nothing of what was queued by hand in its lane: that is a verdict at once", async ({
    configFor,
    db,
  }) => {
    const scope = new Scope();
    try {
      const key = `${backend}/by-hand.jpg`;
      await put(key, readFileSync(join(samples, "menu-1.jpg")));
      const config = configFor(backend, { MAITRED_S3_ENDPOINT: s3.address });
      const id = await addBackfill(db.pool, { ...ofAll, propose: true });
      expect(await feedBackfill(db.pool, id, null, page(await photos(db, key)))).toHaveLength(1);
      const byHand = { store: "s3", bucket: "archive", key, version: "" } as const;
      await openIntake(config, scope, () => {}).take([byHand], "backfill");
      await startWorker(config, createLog("silent"), scope);
      await expect.poll(() => endBackfills(db.pool)).toEqual([id]);
      expect((await db.pool.query("select state from photos")).rows).toEqual([{ state: "review" }]);
      expect((await db.pool.query("select from proposals")).rows).toEqual([]);
    } finally {
      await scope.close();
    }
  });

  test("has renditions judged where there are any, and the photos themselves where not", async ({
    configFor,
    db,
  }) => {
    const scope = new Scope();
    try {
      const dinner = readFileSync(join(samples, "business-product-1.jpg"));
      const small = await sharp(dinner).resize(320, 320, { fit: "fill" }).jpeg().toBuffer();
      const under = (name: string) => `${backend}/originals/${name}`;
      // that its original is no photo shows what was read
      await put(under("a+b.png"), "not a photo");
      await putInto("thumbs", `${backend}/originals/a+b`, small);
      await put(under("none.png"), dinner);
      await put(under("broken.png"), dinner);
      await putInto("thumbs", `${backend}/originals/broken`, "not a photo");
      await put(under("bad.png"), "not a photo");
      const config = configFor(backend, { MAITRED_S3_ENDPOINT: s3.address, MAITRED_BACKOFF_MS: "20" });
      const what = { kind: "prefix" as const, bucket: "archive", prefix: under("") };
      const id = await addBackfill(db.pool, { ...ofAll, what, rendition: "s3://thumbs/{stem}" });
      const log = createLog("silent");
      const { url } = await startWorker(config, log, scope);
      await startFeed(config, log, scope);
      await expect
        .poll(async () => (await readBackfill(db.pool, id))!.state, { timeout: 25_000 })
        .toBe("done");
      const { rows } = await db.pool.query(
        `select p.key, p.failure, v.rendition, encode(v.digest, 'hex') as digest
        from photos p join verdicts v on v.photo_id = p.id order by p.key collate "C"`,
      );
      const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
      expect(rows).toMatchObject([
        { key: under("a+b.png"), failure: null, rendition: true, digest: digest(small) },
        { key: under("bad.png"), failure: "UNSUPPORTED_FORMAT", rendition: null, digest: null },
        { key: under("broken.png"), failure: null, rendition: null },
        { key: under("none.png"), failure: null, rendition: null },
      ]);
      const metrics = await (await fetch(`${url}/metrics`)).text();
      expect(metrics).toContain('maitred_renditions_total{outcome="judged"} 1');
      expect(metrics).toContain('maitred_renditions_total{outcome="passed over"} 2');
    } finally {
      await scope.close();
    }
  });

  test("keeps the queue within its bound over many photos, and another goes on after a stop", async ({
    configFor,
    db,
  }) => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n++)
      ids.push(...(await photos(db, ...Array.from({ length: 200 }, (_, index) => `${n}-${index}`))));
    const id = await addBackfill(db.pool, ofAll);
    const config = configFor(backend, { MAITRED_FEED_LIMIT: "50" });
    const log = createLog("silent");
    const work = new Scope();
    const server = work.hold(
      "server",
      openQueueServer(config, () => {}),
    );
    let deepest = 0;
    const seen = new Map<string, number>();
    work.hold(
      "consumer",
      await consume(
        server,
        "backfill",
        { concurrency: 10, lockMs: 30_000, attempts: 3, backoffMs: 10, patienceMs: 0 },
        {
          async photo(photo) {
            seen.set(photo.id, (seen.get(photo.id) ?? 0) + 1);
            expect(photo.fed).toBe(true);
            const { rows } = await db.pool.query("select count(*)::int as n from backfill_photos");
            deepest = Math.max(deepest, rows[0].n);
            await recordOutcomes(db.pool, [judged(photo.id, "shown")]);
          },
          abandoned: async () => {},
          error: () => {},
        },
      ),
    );
    try {
      const first = new Scope();
      await startFeed(config, log, first);
      await expect.poll(() => seen.size, { timeout: 20_000 }).toBeGreaterThan(150);
      await first.close();
      const second = new Scope();
      await startFeed(config, log, second);
      await expect
        .poll(async () => (await readBackfill(db.pool, id))!.state, { timeout: 25_000 })
        .toBe("done");
      await second.close();
      expect([...seen.keys()].sort()).toEqual(ids.sort());
      // the bound, a page over it, and what is in hand
      expect(deepest).toBeLessThanOrEqual(50 + 50 + 10);
      expect(await counts(db, id)).toEqual([["pending", "shown", "", 1000]]);
    } finally {
      await work.close();
    }
  });

  test("and one of another group, with queues of its own, work on the same backfills and count each photo once", async ({
    configFor,
    db,
  }) => {
    const keys = Array.from({ length: 300 }, (_, n) => `g-${n}`);
    await photos(db, ...keys);
    const plain = await addBackfill(db.pool, { ...ofAll, model: "model:m-0" });
    const proposing = await addBackfill(db.pool, { ...ofAll, propose: true });
    const groups = ["one", "two"].map((name) => {
      const { queuePrefix } = configFor(backend);
      return configFor(backend, {
        MAITRED_FEED_LIMIT: "20",
        MAITRED_QUEUE_PREFIX: `${queuePrefix}_${name}`,
      });
    });
    const log = createLog("silent");
    const work = new Scope();
    const seen = [new Map<string, number>(), new Map<string, number>()];
    let meet = (): void => {};
    const met = new Promise<void>((resolve) => {
      meet = resolve;
    });
    try {
      for (const [group, config] of groups.entries()) {
        const server = work.hold(
          "server",
          openQueueServer(config, () => {}),
        );
        await server.migrate();
        const limits = { concurrency: 4, lockMs: 30_000, attempts: 3, backoffMs: 10, patienceMs: 0 };
        work.hold(
          "consumer",
          await consume(server, "backfill", limits, {
            async photo({ id, fed }) {
              seen[group]!.set(id, (seen[group]!.get(id) ?? 0) + 1);
              if (seen[1]!.size > 40) meet();
              // or the first is through with all of it before the other has begun
              if (group === 0 && seen[0]!.size > 60) await met;
              await recordOutcomes(db.pool, [{ ...judged(id, "shown"), ...(fed && { fed }) }]);
            },
            abandoned: async () => {},
            error: () => {},
          }),
        );
      }
      const first = new Scope();
      await startFeed(groups[0]!, log, first);
      // the other begins in the middle, and queues once more what waits in the first one's queue
      await expect.poll(() => seen[0]!.size, { timeout: 20_000 }).toBeGreaterThan(40);
      const second = new Scope();
      await startFeed(groups[1]!, log, second);
      await met;
      // and the first one ends, and comes back
      await first.close();
      const third = new Scope();
      await startFeed(groups[0]!, log, third);
      for (const id of [plain, proposing])
        await expect
          .poll(async () => (await readBackfill(db.pool, id))!.state, { timeout: 25_000 })
          .toBe("done");
      await second.close();
      await third.close();
      // a photo may be proposed before it is judged for the other run
      const verdicts = await db.pool.query("select photo_id, count(*)::int as n from verdicts group by 1");
      expect(verdicts.rows).toHaveLength(300);
      expect(verdicts.rows.filter(({ n }) => n > 1)).toEqual([]);
      for (const id of [plain, proposing]) {
        const row = (await readBackfill(db.pool, id))!;
        expect([row.seen, row.judged, row.fed + row.skipped, row.waiting]).toEqual([300, row.fed, 300, 0]);
      }
    } finally {
      await work.close();
    }
  });
});

test("the command starts, counts, lists, pauses and reports, and says what is wrong", async ({ db }) => {
  const ids = await photos(db, "a", "b");
  const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const run = async (...args: string[]) => {
    return ended(["backfill", ...args], env);
  };
  await put("dry/1.jpg", "12345");
  await put("dry/2.jpg", "123");
  expect(JSON.parse((await run("start", "s3://archive/dry/", "--dry-run", "--json")).out)).toEqual({
    photos: 2,
    skipped: 0,
    unreadable: 0,
    listRequests: 1,
    bytes: 8,
    sizesAsked: 0,
    sizesFound: 0,
    getRequests: 2,
    renditions: null,
    photosPerS: null,
    rateIs: null,
    seconds: null,
  });
  expect((await run("start", "--missing", "--dry-run")).out).toMatch(
    /^2 photos: state pending\nat most 2 GET requests; how many bytes the bucket did not say\n/,
  );
  await put("dry/list.jsonl", '{"key":"dry/1.jpg"}\n{"key":"dry/2.jpg"}\n{"key":"dry/1.jpg","etag":"e"}\n');
  expect(
    (await run("start", "s3://archive/dry/list.jsonl", "--bucket", "archive", "--dry-run", "--json")).out,
  ).toMatch(/^\{"photos":2,"skipped":0,.*"bytes":8,"sizesAsked":2,"sizesFound":2,"getRequests":2,/);
  await put("dry/some.csv", "bucket,key\narchive,dry/1.jpg\narchive,dry/none.jpg\n");
  expect((await run("start", "s3://archive/dry/some.csv", "--dry-run")).out).toContain(
    "at most 2 GET requests, 0.000 GB by the sizes of 1 of 2 asked for: the rest is absent or refused, and counts as none\n",
  );
  const started = await run(
    "start",
    "--missing",
    "--model",
    "restaurant-4",
    "--max-rate",
    "5",
    "--expect",
    "4",
    "--rendition-template",
    "small/{key}",
    "--by",
    "ann",
    "--json",
  );
  const { id } = JSON.parse(started.out);
  expect(started.code).toBe(0);
  expect((await run("pause", id)).err).toMatch(/--why/);
  expect(await run("pause", id, "--why", "too early", "--by", "bob")).toMatchObject({ code: 0 });
  expect((await run("status", id)).out).toMatch(/paused, by bob: too early\n.* 0 skipped, 0 % read\n/);
  expect((await run("status", id)).out).toMatch(/by renditions where there are any: small\/\{key\}/);
  expect((await run("list")).out).toMatch(/paused .* ann +photos: state pending/);
  await run("resume", id);
  await feedBackfill(db.pool, id, null, page(ids));
  await recordOutcomes(db.pool, [judged(ids[0]!, "shown"), failed(ids[1]!)]);
  const report = await run("report", id);
  expect(report.code).toBe(1);
  expect(report.out).toMatch(/failed: 1 CORRUPT/);
  expect(report.out).toMatch(/pending +1 +1/);
  expect(report.out).toMatch(/food +0 +1 +\+1/);
  expect((await run("retry-failed", id, "--json")).out).toBe(`{"id":"${id}","photos":1}\n`);
  for (const [args, why] of [
    [["start", "s3://archive/x"], /a prefix with its slash, or a manifest/],
    [["start", "--missing", "--rendition-template", "small.jpg"], /expected \{key\} or \{stem\} in the key/],
    [["start", "--missing", "--expect", "1.5"], /--expect: expected a whole number/],
    [["start", "--missing", "--hours", "9"], /two hours such as 22-06/],
    [["sttus", id], /got "sttus": did you mean status\?/],
    // what would silently do nothing, or more than was asked for
    [["resume", id, "--max-rate", "5"], /resume has no --max-rate/],
    [["start", "--missing", "--why", "so"], /start has no --why/],
    [["start", "--missing", "--bucket", "archive"], /--bucket: expected a manifest beside it/],
    [["start", "s3://archive/2019/", "--bucket", "other"], /--bucket: expected a manifest beside it/],
  ] as const) {
    const { code, err } = await run(...args);
    expect([code, why.test(err), err]).toEqual([2, true, err]);
  }
}, 90_000);

test("where no worker runs the rate is that of the best minute of the last day", async ({ db }) => {
  const of = async (n: number): Promise<string[]> =>
    (await db.pool.query("select id from photos order by id limit $1", [n])).rows.map(({ id }) => id);
  expect(await bestRate(db.pool)).toBeNull();
  for (const key of ["a", "b", "c"]) await register(db, key);
  const at = async (minutes: number, photos: readonly string[]): Promise<void> =>
    void (await db.pool.query(
      `insert into verdicts (photo_id, verdict, rule, reason, decided_by, decided_at)
        select id, 'shown', 'clear', 'because', 'model:m-1', date_trunc('minute', now()) - make_interval(mins => $2)
        from unnest($1::bigint[]) id`,
      [photos, minutes],
    ));
  await at(3 * 24 * 60, await of(3));
  await at(60, await of(2));
  await at(10, await of(1));
  expect(await bestRate(db.pool)).toBe(2 / 60);
  // what a policy decided anew, what was applied, taken back or said by a moderator: no worker judged it
  const policy = await addBackfill(db.pool, { ...ofAll, what: { kind: "policy", policy: "p2", upTo: "3" } });
  const proposed = await addBackfill(db.pool, { ...ofAll, propose: true });
  for (const [by, batch, run] of [
    ["model:m-1", `policy-${policy}`, policy],
    ["model:m-1", "t-1", proposed],
    ["model:m-1", "rollback-7", null],
    ["moderator:ada", "", null],
  ])
    await db.pool.query(
      `insert into verdicts (photo_id, verdict, rule, reason, decided_by, batch, backfill_id, decided_at)
        select id, 'shown', 'clear', 'because', $1, $2, $3, date_trunc('minute', now()) - interval '30 minutes' from photos`,
      [by, batch, run],
    );
  expect(await bestRate(db.pool)).toBe(2 / 60);
});

test("a dry run counts with the rate of the workers that run, and says so", async ({ db }) => {
  await photos(db, "a", "b");
  const run = async (...more: string[]) => {
    const command = await ended(["backfill", "start", "--missing", "--dry-run", ...more], {
      DATABASE_URL: db.url,
    });
    expect(command.code).toBe(0);
    return command.out;
  };
  expect(await run()).toContain("so no rate is known\n");
  expect(await run("--max-rate", "0.5")).toContain("about 4 s at 0.5 photos/s, which is --max-rate\n");
  for (const worker of ["one", "two"]) {
    const report = { worker, model: "m", variant: "", provider: "cpu", pinned: false, problem: "" };
    await reportWorker(db.pool, report);
    await reportFigures(db.pool, worker, { bestPerS: 0.25 });
  }
  expect(await run()).toContain(
    "about 4 s at 0.5 photos/s, which is the best five seconds of each of the 2 workers that run\n",
  );
  // two hundred seconds of a night's hour
  expect(await run("--max-rate", "0.01", "--hours", "02-03")).toContain(
    "about 3 min 20 s at 0.01 photos/s, which is --max-rate, within 02-03 only\n",
  );
});

test("a dry run tells what is decided already apart, of photos in Postgres, a prefix and a list", async ({
  db,
  folder,
}) => {
  const keys = ["settled/ours.jpg", "settled/moderated.jpg", "settled/other.jpg", "settled/failed.jpg"];
  const [ours, moderated, other, bad] = await photos(db, ...keys);
  for (const key of [...keys, "settled/new.jpg"]) await put(key, "12345");
  await recordOutcomes(db.pool, [
    judged(ours!, "shown", "model:restaurant-4"),
    judged(other!, "shown", "model:m-1"),
    { ...failed(bad!), by: "model:restaurant-4" },
  ]);
  await db.pool.query("select record_review($1, 'ann', 'shown')", [moderated]);
  const list = join(folder, "list.csv");
  writeFileSync(list, ["bucket,key", ...keys.map((key) => `archive,${key}`)].join("\n"));
  const env = { DATABASE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const run = async (...args: string[]) => {
    const command = await ended(
      ["backfill", "start", ...args, "--model", "restaurant-4", "--max-rate", "0.01", "--dry-run"],
      env,
    );
    expect(command.code, command.err).toBe(0);
    return command.out;
  };
  expect(await run("--all")).toBe(
    "4 photos: all photos\n2 of them are decided already, and skipped: 2 left to judge\n" +
      "at most 2 GET requests, 0.000 GB by the sizes of 2 of 2 asked for\nabout 3 min 20 s at 0.01 photos/s, which is --max-rate\n",
  );
  expect(JSON.parse(await run("s3://archive/settled/", "--json"))).toMatchObject({
    ...{ photos: 5, skipped: 2, getRequests: 3, seconds: 300 },
  });
  expect(JSON.parse(await run(list, "--json"))).toMatchObject({
    photos: 4,
    skipped: 2,
    bytes: 10,
    seconds: 200,
  });
  expect(JSON.parse(await run("--all", "--again", "--json"))).toMatchObject({ photos: 4, skipped: 1 });
});

test("a backfill that is not there is exit code 1, and one that is over is shown once", async ({ db }) => {
  const run = async (...args: string[]) => {
    return ended(["backfill", ...args], { DATABASE_URL: db.url });
  };
  const said = "maitred backfill: there is no backfill 77: maitred backfill list shows them\n";
  const all = [
    ["status", "77"],
    ["resume", "77"],
    ["rollback", "77"],
    ["cancel", "77", "--why", "x"],
  ];
  for (const answer of await Promise.all(all.map((args) => run(...args))))
    expect(answer).toEqual({ code: 1, out: "", err: said });
  const id = await addBackfill(db.pool, ofAll);
  await changeBackfill(db.pool, id, "cancelled", "ann", "done with it");
  const watched = await run("status", id, "--watch");
  expect(`${watched.err}${watched.out}`.match(/cancelled/g)).toHaveLength(1);
});

test("watching ends where the feeder had to pause the run, and waits where a person did, saying why once", async ({
  db,
}) => {
  const env = { DATABASE_URL: db.url };
  const id = await addBackfill(db.pool, ofAll);
  await changeBackfill(db.pool, id, "paused", "bob", "too early");
  const watching = maitred(["backfill", "status", id, "--watch"], env);
  try {
    await watching.says(`paused, by bob: too early; waiting for maitred backfill resume ${id}\n`);
    await changeBackfill(db.pool, id, "running", "bob", "");
    await watching.says("running, waits for maitred feed or maitred up: none runs: ");
    await changeBackfill(db.pool, id, "paused", "maitred feed", "CONFIG_INVALID: list.csv: no such file");
    expect(await watching.exit).toBe(1);
  } finally {
    watching.child.kill();
  }
  expect(watching.stderr().match(/paused/g)).toHaveLength(1);
  expect(watching.stdout()).toContain("paused, by maitred feed: CONFIG_INVALID: list.csv: no such file\n");
  expect(watching.stdout()).toContain(`once that is mended: maitred backfill resume ${id}\n`);
}, 40_000);

test("the command starts nothing of what cannot be read, unless it is told to", async ({ db, folder }) => {
  const env = { DATABASE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const starts = async (...what: string[]) => {
    const { code, err } = await ended(["backfill", "start", ...what], env);
    return { code, err };
  };
  mkdirSync(join(folder, "parts.csv"));
  await put("keys.csv", "key\n1.jpg\n2.jpg\n");
  await put("inventory/1.csv", '"archive","1.jpg"\n');
  const inventory = {
    destinationBucket: "arn:aws:s3:::archive",
    fileFormat: "CSV",
    fileSchema: "Bucket, Key",
    files: [{ key: "inventory/1.csv" }, { key: "inventory/2.csv" }],
  };
  await put("inventory/manifest.json", JSON.stringify(inventory));
  const refused = await Promise.all([
    starts("s3://nowhere/2019/"),
    starts("s3://archive/none.csv"),
    starts("./none.csv"),
    starts(join(folder, "parts.csv")),
    starts("--view", "none"),
    starts("s3://archive/inventory/manifest.json"),
    starts("s3://archive/keys.csv"),
    starts("s3://archive/dry/", "--rendition-template", "s3://elsewhere/{key}"),
    starts("s3://archive/dry/", "--rendition-template", "s3://elsewhere/{key}", "--dry-run"),
  ]);
  const why = (text: RegExp) => ({ code: 2, err: expect.stringMatching(text) });
  expect(refused).toEqual([
    why(/s3:\/\/nowhere\/2019\/: .*NoSuchBucket: nothing was started/),
    why(/s3:\/\/archive\/none\.csv: .*NoSuchKey: nothing was started/),
    why(/backfill: \/[^ ]*none\.csv: there is no such file; .*: nothing was started/),
    why(/parts\.csv: expected a file, got a folder: name a list in it: nothing was started/),
    why(/view none: .*: nothing was started/),
    why(/archive\/inventory\/2\.csv: NoSuchKey: nothing was started/),
    why(
      /keys\.csv: none of its 2 records names a photo: record 1 names no bucket, .*--bucket NAME.*: nothing/,
    ),
    why(/--rendition-template: there is no bucket elsewhere, got "s3:/),
    why(/--rendition-template: there is no bucket elsewhere, got "s3:/),
  ]);
  expect((await db.pool.query("select from backfills")).rows).toEqual([]);
  expect((await starts("s3://nowhere/2019/", "--unchecked")).code).toBe(0);
}, 90_000);

test("the model that counts is one that somebody knows", async ({ db }) => {
  const env = { DATABASE_URL: db.url };
  const starts = async (model: string) => {
    const { code, err } = await ended(["backfill", "start", "--older-model", "--model", model], env);
    return { code, err };
  };
  await registerModel(db.pool, { id: "pub-1", sha256: "0".repeat(64), measured: null }, "ann");
  const worker = { worker: "w", model: "cafe-2", variant: "", provider: "cpu", pinned: true, problem: "" };
  await reportWorker(db.pool, worker);
  expect(await starts("restaurant-9")).toEqual({
    code: 2,
    err: expect.stringContaining(
      'maitred backfill: --model: expected one of cafe-2, pub-1, restaurant-4, got "restaurant-9": did you mean restaurant-4?\n',
    ),
  });
  expect((await db.pool.query("select from backfills")).rows).toEqual([]);
  for (const known of ["cafe-2", "pub-1", "restaurant-4"]) expect((await starts(known)).code).toBe(0);
  expect((await db.pool.query("select model from backfills order by id")).rows).toEqual([
    { model: "model:cafe-2" },
    { model: "model:pub-1" },
    { model: "model:restaurant-4" },
  ]);
}, 90_000);

test("a dry run looks for renditions of some photos, and says what they save", async ({ db }) => {
  await photos(db, "a", "b");
  const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const run = async (...args: string[]) => {
    return ended(["backfill", ...args], env);
  };
  await put("sized/1.jpg", "12345");
  await put("sized/2.jpg", "123");
  await putInto("thumbs", "sized/1", "123");
  const small = ["start", "s3://archive/sized/", "--rendition-template", "s3://thumbs/{stem}"];
  expect(JSON.parse((await run(...small, "--dry-run", "--json")).out)).toMatchObject({
    photos: 2,
    bytes: 8,
    getRequests: 3,
    renditions: { looked: 2, found: 1, bytes: 3, originals: 1 },
  });
  const ofTable = ["start", "--missing", "--rendition-template", "s3://thumbs/sized/1{key}"];
  expect((await run(...ofTable, "--dry-run")).out).toMatch(
    /at most 4 GET requests; how many bytes the bucket did not say\nof 2 photos looked at, 0 have a rendition: about 0.000 GB of them all, and 2 originals\nnone of them has one: is --rendition-template right\?/,
  );
}, 90_000);
