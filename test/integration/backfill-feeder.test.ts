import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, inject } from "vitest";
import { statusLines } from "../../src/cli/backfill-report.ts";
import { openIntake } from "../../src/cli/intake.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { consume } from "../../src/queue/consumer.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { endBackfills, feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill, changeBackfill, readBackfill } from "../../src/store/backfills.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { startFeed } from "../../workers/feed.ts";
import { startWorker } from "../../workers/moderate.ts";
import { counts, judged, page, photos, startArchive } from "../backfills.ts";
import { BACKENDS, test } from "../fixtures.ts";
import { makeModel } from "../models.ts";
import type { TestS3 } from "../s3.ts";
import { ofAll } from "../verdicts.ts";
import { until } from "../waits.ts";

const samples = inject("samples");
let s3: TestS3;
beforeAll(async () => {
  s3 = await startArchive();
});
afterAll(() => s3.stop());

describe.each(BACKENDS)("the feeder on %s", (backend) => {
  test("leaves no photo that waits for nobody behind a run that is paused and cancelled while it is read", async ({
    configFor,
    db,
  }) => {
    for (let n = 0; n < 30; n++)
      await s3.put(`stopped-${backend}/${String(n).padStart(2, "0")}.jpg`, "no photo");
    const id = await addBackfill(db.pool, {
      ...ofAll,
      maxRate: 5,
      what: { kind: "prefix", bucket: "archive", prefix: `stopped-${backend}/` },
    });
    const scope = new Scope();
    try {
      await startFeed(
        configFor(backend, { MAITRED_S3_ENDPOINT: s3.address, MAITRED_MODEL: inject("idleModel") }),
        createLog("silent"),
        scope,
      );
      await expect
        .poll(async () => (await readBackfill(db.pool, id))!.fed, { timeout: 20_000 })
        .toBeGreaterThan(0);
      await changeBackfill(db.pool, id, "paused", "ada", "lunch");
      await changeBackfill(db.pool, id, "running", "ada", "");
      await changeBackfill(db.pool, id, "cancelled", "ada", "no need");
    } finally {
      await scope.close();
    }
    const { fed, waiting } = (await readBackfill(db.pool, id))!;
    expect(waiting).toBe(fed);
    expect((await db.pool.query("select count(*)::int from photos where state = 'pending'")).rows).toEqual([
      { count: fed },
    ]);
  }, 60_000);

  test("feeds a prefix and a manifest to a worker, which judges every photo once", async ({
    configFor,
    db,
    folder,
    scope,
  }) => {
    const names = ["business-product-1.jpg", "landing-portrait-1.jpg", "menu-1.jpg"];
    for (const name of names) await s3.put(`${backend}/2019/a+b ${name}`, readFileSync(join(samples, name)));
    await s3.put(`${backend}/2019/words.jpg`, "not a photo");
    await s3.put(`${backend}/2020/late.jpg`, readFileSync(join(samples, names[0]!)));
    const list = join(folder, "list.csv.gz");
    writeFileSync(
      list,
      gzipSync(
        `bucket,key,listing\narchive,${backend}/2020/late.jpg,42\narchive,${backend}/gone.jpg,\n,x,\n`,
      ),
    );
    const config = configFor(backend, {
      MAITRED_S3_ENDPOINT: s3.address,
      MAITRED_MODEL: inject("idleModel"),
      MAITRED_FEED_LIMIT: "2",
      MAITRED_BACKOFF_MS: "20",
    });
    const log = createLog("silent");
    const prefix = { kind: "prefix" as const, bucket: "archive", prefix: `${backend}/2019/` };
    const run = { ...ofAll, model: "model:idle-1" };
    const first = await addBackfill(db.pool, { ...run, what: prefix });
    const second = await addBackfill(db.pool, { ...run, what: { kind: "manifest", at: list } });
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
  });

  test("queues uploads that are in no queue, where neither the API nor a listener runs", async ({
    configFor,
    db,
    scope,
  }) => {
    await s3.put(`${backend}/upload.jpg`, readFileSync(join(samples, "menu-1.jpg")));
    const config = configFor(backend, {
      MAITRED_S3_ENDPOINT: s3.address,
      MAITRED_MODEL: inject("idleModel"),
    });
    const key = `${backend}/upload.jpg`;
    const photo = { store: "s3", bucket: "archive", key, version: "", known: {} } as const;
    const [registered] = await registerPhotos(db.pool, [photo], "live");
    // its API was killed before it queued it
    await db.pool.query("update unqueued set since = now() - interval '1 minute' where photo_id = $1", [
      registered!.id,
    ]);
    await startWorker(config, createLog("silent"), scope);
    await startFeed(config, createLog("silent"), scope);
    const state = async () => (await db.pool.query("select state from photos")).rows[0].state;
    await expect.poll(state, { timeout: 25_000 }).not.toBe("pending");
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
    scope,
  }) => {
    await photos(db, "p1", "p2", "p3");
    const id = await addBackfill(db.pool, ofAll);
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
  });

  test("proposes nothing of what was queued by hand in its lane: that is a verdict at once", async ({
    configFor,
    db,
    folder,
    scope,
  }) => {
    const key = `${backend}/by-hand.jpg`;
    await s3.put(key, readFileSync(join(samples, "menu-1.jpg")));
    const config = configFor(backend, {
      MAITRED_S3_ENDPOINT: s3.address,
      MAITRED_MODEL: makeModel(folder, "menus-1", { says: "menu" }),
    });
    const id = await addBackfill(db.pool, { ...ofAll, model: "model:menus-1", propose: true });
    expect(await feedBackfill(db.pool, id, null, page(await photos(db, key)))).toHaveLength(1);
    const byHand = { store: "s3", bucket: "archive", key, version: "" } as const;
    await openIntake(config, scope, () => {}).take([byHand], "backfill");
    await startWorker(config, createLog("silent"), scope);
    await expect.poll(() => endBackfills(db.pool)).toEqual([id]);
    expect((await db.pool.query("select state from photos")).rows).toEqual([{ state: "review" }]);
    expect((await db.pool.query("select from proposals")).rows).toEqual([]);
  });

  test("has renditions judged where there are any, and the photos themselves where not", async ({
    configFor,
    db,
    scope,
  }) => {
    const dinner = readFileSync(join(samples, "business-product-1.jpg"));
    const small = await sharp(dinner).resize(320, 320, { fit: "fill" }).jpeg().toBuffer();
    const under = (name: string) => `${backend}/originals/${name}`;
    // that its original is no photo shows what was read
    await s3.put(under("a+b.png"), "not a photo");
    await s3.putInto("thumbs", `${backend}/originals/a+b`, small);
    await s3.put(under("none.png"), dinner);
    await s3.put(under("broken.png"), dinner);
    await s3.putInto("thumbs", `${backend}/originals/broken`, "not a photo");
    await s3.put(under("bad.png"), "not a photo");
    const config = configFor(backend, { MAITRED_S3_ENDPOINT: s3.address, MAITRED_BACKOFF_MS: "20" });
    const what = { kind: "prefix" as const, bucket: "archive", prefix: under("") };
    const id = await addBackfill(db.pool, {
      ...{ ...ofAll, model: "model:restaurant-6" },
      ...{ what, rendition: "s3://thumbs/{stem}" },
    });
    const log = createLog("silent");
    const { url } = await startWorker(config, log, scope);
    await startFeed(config, log, scope);
    await expect.poll(async () => (await readBackfill(db.pool, id))!.state, { timeout: 25_000 }).toBe("done");
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
    const plain = await addBackfill(db.pool, ofAll);
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
