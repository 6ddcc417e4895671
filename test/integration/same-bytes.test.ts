import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject } from "vitest";
import { openIntake } from "../../src/cli/intake.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import type { PhotoRef } from "../../src/photo.ts";
import { decodedSince, knownScores, recordOutcomes } from "../../src/store/verdicts.ts";
import { startWorker } from "../../workers/moderate.ts";
import { BACKENDS, test as base, type Database } from "../fixtures.ts";
import { startS3, type TestS3 } from "../s3.ts";
import { fail, judged, register } from "../verdicts.ts";

const samples = inject("samples");
const dinner = readFileSync(join(samples, "business-product-1.jpg"));
const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
let s3: TestS3;

beforeAll(async () => {
  s3 = await startS3("photos");
});
afterAll(() => s3.stop());

/** A worker, and what puts objects in front of it and waits until each has left the line. */
const test = base.extend<{
  start(env?: Record<string, string>): Promise<{
    judge(objects: Record<string, Uint8Array | string>): Promise<void>;
    ran(): number;
    metrics(): Promise<string>;
    stop(): Promise<void>;
  }>;
}>({
  start: async ({ configFor }, use) => {
    const all = new Scope();
    await use(async (env = {}) => {
      const scope = all.hold("worker", new Scope());
      const config = configFor(BACKENDS[0]!, { MAITRED_S3_ENDPOINT: s3.address, ...env });
      let [ran, wake] = [0, (): void => {}];
      const left = new Set<string>();
      const worker = await startWorker(config, createLog("silent"), scope, {
        batch(_id, photos) {
          ran += photos;
        },
        finished(photo) {
          left.add(photo.key);
          wake();
        },
      });
      const intake = openIntake(config, scope, () => {});
      return {
        async judge(objects) {
          const keys = Object.keys(objects);
          const done = new Promise<void>((resolve) => {
            wake = () => keys.every((key) => left.has(key)) && resolve();
          });
          for (const [Key, Body] of Object.entries(objects)) {
            const Metadata = { claimed: Key };
            await s3.put(Key, Body, Metadata);
          }
          const photos = keys.map((key): PhotoRef => ({ store: "s3", bucket: "photos", key, version: "" }));
          await intake.take(photos, "live");
          await done;
        },
        ran: () => ran,
        metrics: async () => (await fetch(`${worker.url}/metrics`)).text(),
        stop: () => scope.close(),
      };
    });
    await all.close();
  },
});

async function history(db: Database, key: string) {
  const { rows } = await db.pool.query(
    `select v.verdict, v.rule, v.scores, v.human, v.batch, encode(v.digest, 'hex') as digest, p.claimed, p.id
    from verdicts v join photos p on p.id = v.photo_id where p.key = $1 order by v.id`,
    [key],
  );
  return rows;
}

describe("a copy of a photo", () => {
  test("has the scores of its original without the model, and a verdict of its own", async ({
    start,
    db,
  }) => {
    const { judge, ran, metrics } = await start();
    await judge({ "a.jpg": dinner });
    const [first] = await history(db, "a.jpg");
    expect(first).toMatchObject({ verdict: "shown", digest: digestOf(dinner) });
    // a moderator's word is of that photo alone, but what one hid is not shown again unseen
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [first.id]);
    await judge({ "b.jpg": dinner });
    expect(ran()).toBe(1);
    const { scores, human } = first;
    expect(await history(db, "b.jpg")).toMatchObject([
      {
        verdict: "review",
        scores,
        human,
        batch: `same-${first.id}`,
        digest: digestOf(dinner),
        claimed: "b.jpg",
      },
    ]);
    expect(await metrics()).toContain('maitred_same_bytes_total{lane="live"} 1');
    expect(await metrics()).toMatch(/maitred_photos_total\{lane="live",verdict="review",category="\w+"\} 1/);
    expect(await metrics()).toContain('maitred_stage_seconds_count{stage="lookup",lane="live"} 2');
  });

  test("is decided by the policy of today", async ({ start, db, folder }) => {
    const before = await start();
    await before.judge({ "a.jpg": dinner });
    await before.stop();
    const policy = join(folder, "policy.yaml");
    writeFileSync(
      policy,
      "version: 1\nhuman: {hide: 0.5, review: 0.05}\ncategories: {food: 0.5, ambience: 0.5, menu: 0.5, other: 0.5}\nverify: [food]\n",
    );
    const { judge, ran } = await start({ MAITRED_POLICY: policy });
    await judge({ "b.jpg": dinner });
    expect(ran()).toBe(0);
    expect(await history(db, "a.jpg")).toMatchObject([{ verdict: "shown" }]);
    expect(await history(db, "b.jpg")).toMatchObject([{ verdict: "review", rule: "verify" }]);
  });

  test("that comes with many others is judged a few times at most, and each has its verdict", async ({
    start,
    db,
  }) => {
    const { judge, ran } = await start();
    const names = Array.from({ length: 60 }, (_, n) => `many/${n}.jpg`);
    await judge(Object.fromEntries(names.map((name) => [name, dinner])));
    // as many as the commits that others did not wait for
    expect(ran()).toBeLessThan(20);
    const { rows } = await db.pool.query(
      "select state, scores, count(*)::int as n from photos p join verdicts v on v.photo_id = p.id group by 1, 2",
    );
    expect(rows).toMatchObject([{ state: "shown", n: 60 }]);
  });

  test("is judged anew where another decoder saw the original, and from then on once", async ({
    start,
    db,
  }) => {
    const before = await start();
    await before.judge({ "a.jpg": dinner });
    await before.stop();
    // as a version with other sources would find it
    await db.pool.query("update decoders set id = 'another'");
    const { judge, ran } = await start();
    await judge({ "b.jpg": dinner });
    await judge({ "c.jpg": dinner });
    expect(ran()).toBe(1);
    const { rows } = await db.pool.query("select id from decoders order by since");
    expect(rows).toEqual([{ id: "another" }, { id: expect.stringMatching(/^[\da-f]{64}$/) }]);
    const since = await decodedSince(db.pool, rows[1]!.id);
    expect(await decodedSince(db.pool, rows[1]!.id)).toBe(since);
    // what runs again after another one counts from now
    expect(Date.parse(await decodedSince(db.pool, "another"))).toBeGreaterThan(Date.parse(since));
  });

  test("of what cannot be judged fails by itself, and leaves nothing to be found", async ({ start, db }) => {
    const { judge } = await start();
    await judge({ "a.jpg": "not a photo" });
    await judge({ "b.jpg": "not a photo" });
    const { rows } = await db.pool.query("select failure from photos");
    expect(rows).toEqual([{ failure: "UNSUPPORTED_FORMAT" }, { failure: "UNSUPPORTED_FORMAT" }]);
    const { rows: digests } = await db.pool.query("select from verdicts where digest is not null");
    expect(digests).toEqual([]);
  });

  test("is judged as any other with MAITRED_DUPLICATES=each", async ({ start, db }) => {
    const { judge, ran } = await start({ MAITRED_DUPLICATES: "each" });
    await judge({ "a.jpg": dinner });
    await judge({ "b.jpg": dinner });
    expect(ran()).toBe(2);
    expect(await history(db, "b.jpg")).toMatchObject([{ verdict: "shown", digest: digestOf(dinner) }]);
  });

  test("is judged as any other while the index is not there, which would make uploads wait", async ({
    start,
    db,
  }) => {
    await db.pool.query("drop index verdicts_digest");
    const { judge, ran } = await start();
    await judge({ "a.jpg": dinner });
    await judge({ "b.jpg": dinner });
    expect(ran()).toBe(2);
  });
});

describe("known scores", () => {
  const EVER = "-infinity";
  const bytes = [digestOf(new Uint8Array([1])), digestOf(new Uint8Array([2]))] as const;
  const withDigest = (photoId: string, digest: string, by = "model:m-1") => {
    const outcome = judged(photoId, "shown", by);
    const human = Math.fround(0.7);
    const scores = { categories: { food: Math.fround(0.1), menu: Math.fround(0.9) }, human };
    return { ...outcome, result: { ...outcome.result, scores, digest } } as typeof outcome;
  };

  test("are those of this model and these bytes, to the last bit", async ({ db }) => {
    const [a, b] = [await register(db, "a"), await register(db, "b")];
    await recordOutcomes(db.pool, [withDigest(a, bytes[0])]);
    await recordOutcomes(db.pool, [withDigest(b, bytes[1], "model:m-2")]);
    // the index holds eight bytes, which somebody may have made alike
    const alike = bytes[0].slice(0, 16) + bytes[1].slice(16);
    const found = await knownScores(db.pool, "model:m-1", EVER, [...bytes, alike]);
    const scores = {
      categories: { food: Math.fround(0.1), menu: Math.fround(0.9) },
      human: Math.fround(0.7),
    };
    expect([...found]).toEqual([[bytes[0], { photoId: a, scores }]]);
    expect([...(await knownScores(db.pool, "model:m-2", EVER, bytes)).keys()]).toEqual([bytes[1]]);
    expect(await knownScores(db.pool, "model:m-1", EVER, [])).toEqual(new Map());
  });

  test("are not those that were no numbers, so that the bytes are judged again", async ({ db }) => {
    for (const [key, scores] of [
      ["a", { categories: { food: 0.9, menu: 0.1 }, human: Number.NaN }],
      ["b", { categories: { food: 0.9, menu: Number.NaN }, human: 0 }],
    ] as const) {
      const outcome = withDigest(await register(db, key), bytes[0]);
      const unsure = { ...outcome, result: { ...outcome.result, scores } } as typeof outcome;
      expect([...(await recordOutcomes(db.pool, [unsure])).values()]).toEqual([{ changed: true }]);
      expect(await knownScores(db.pool, "model:m-1", EVER, bytes)).toEqual(new Map());
    }
    await recordOutcomes(db.pool, [withDigest(await register(db, "c"), bytes[0])]);
    expect((await knownScores(db.pool, "model:m-1", EVER, bytes)).size).toBe(1);
  });

  test("stay although the photo failed or was reviewed since, and go when it is erased", async ({ db }) => {
    const a = await register(db, "a");
    await recordOutcomes(db.pool, [withDigest(a, bytes[0])]);
    await fail(db, a);
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [a]);
    expect((await knownScores(db.pool, "model:m-1", EVER, bytes)).size).toBe(1);
    await db.pool.query("delete from photos where id = $1", [a]);
    expect((await knownScores(db.pool, "model:m-1", EVER, bytes)).size).toBe(0);
  });
});
