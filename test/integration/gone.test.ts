/** A photo that is known by its etag, whose object was overwritten, and of which no event told that counted. */
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { codeOf, ReplacedError } from "../../src/errors.ts";
import { connectS3, createS3Fetch } from "../../src/image/s3.ts";
import { createLog } from "../../src/log.ts";
import type { Lane, PhotoRef } from "../../src/photo.ts";
import { parsePayload } from "../../src/queue/queues.ts";
import { recordEvents, type StoredEvent } from "../../src/store/events.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { readPhotoOf } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { versionOf } from "../../src/version.ts";
import { openAdoptReplacement } from "../../src/wiring/adopt-replacement.ts";
import { openServers } from "../../src/wiring/servers.ts";
import { BACKENDS, test as base, type Database } from "../fixtures.ts";
import { HAS_MOTO, startMoto } from "../moto.ts";
import { startProxy } from "../proxy.ts";
import { judge, judged } from "../verdicts.ts";

const Bucket = "photos";
const Key = "42/dinner.jpg";
const urls = { plain: "", suspended: "" };
const stops: (() => unknown)[] = [];
let heads = 0;
/** Done while the store is asked what is there now. */
let meanwhile: () => Promise<unknown> = async () => {};

async function proxied(url: string): Promise<string> {
  const proxy = await startProxy(url, async ({ method }) => {
    if (method !== "HEAD") return;
    heads++;
    await meanwhile();
  });
  stops.unshift(proxy.close);
  return proxy.url;
}

beforeAll(async () => {
  const fauxqs = await startFauxqs({ port: 0, logger: false });
  stops.push(() => fauxqs.stop());
  urls.plain = await proxied(fauxqs.address);
  if (!HAS_MOTO) return;
  const moto = await startMoto();
  stops.push(moto.stop);
  urls.suspended = await proxied(moto.url);
});
afterAll(async () => {
  for (const stop of stops) await stop();
});

interface Bench {
  put(body: string): Promise<string>;
  remove(): Promise<unknown>;
  told(event: Partial<StoredEvent>, erase?: boolean): ReturnType<typeof recordEvents>;
  /** What a worker does that is handed the photo of this version, whose object holds other bytes or none. */
  work(version: string, lane?: Lane): Promise<void>;
  /** Versions and states of what is current, and of the jobs that wait in the lane whether their photos were found so. */
  now(lane?: Lane): Promise<{ current: string[]; waiting: unknown[] }>;
}

const test = base.extend<{ bench(kind: keyof typeof urls): Promise<Bench> }>({
  bench: async ({ db, configFor, scope }, use) => {
    await use(async (kind) => {
      [heads, meanwhile] = [0, async () => {}];
      const config = configFor(BACKENDS[0]!, { MAITRED_S3_ENDPOINT: urls[kind] });
      const s3 = connectS3(config, 4);
      scope.onClose("S3", () => s3.destroy());
      await s3.send(new CreateBucketCommand({ Bucket })).catch(() => {});
      for (const Status of kind === "suspended" ? (["Enabled", "Suspended"] as const) : [])
        await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
      const { queues, db: pool } = await openServers(config, createLog("silent"), scope);
      const lookAgain = openAdoptReplacement(config, { db: pool, queues }, scope);
      const fetch = createS3Fetch(s3);
      const photo: PhotoRef = { store: "s3", bucket: Bucket, key: Key, version: "" };
      return {
        put: async (Body) => {
          const { VersionId, ETag } = await s3.send(new PutObjectCommand({ Bucket, Key, Body }));
          return versionOf(VersionId, ETag);
        },
        remove: () => s3.send(new DeleteObjectCommand({ Bucket, Key })),
        told: (event, erase = false) =>
          recordEvents(
            db.pool,
            [{ ...photo, kind: "created", order: null, known: {}, ...event }],
            "right",
            erase,
          ),
        async work(version, lane = "live") {
          const id = await idOf(db, version);
          const job = { ...photo, id, version, known: {} };
          const error: unknown = await fetch(job, { maxBytes: 1_000, timeoutMs: 10_000 }).catch((e) => e);
          expect(codeOf(error)).toBe("GONE");
          const result = { failure: "GONE", message: "gone", transient: false } as const;
          await recordOutcomes(db.pool, [{ ...judged(id, "shown"), result }]);
          if (error instanceof ReplacedError) await lookAgain(job, lane);
        },
        now: async (lane = "live") => {
          const current = await db.pool.query(
            "select version || ' ' || state || ' ' || lane as photo from photos where superseded_at is null",
          );
          const jobs = await queues.own.find(({ name }) => name === lane)!.getJobs(["waiting"]);
          const waiting = jobs.map(({ data }) => parsePayload(data)?.found);
          return { current: current.rows.map(({ photo }) => photo), waiting };
        },
      };
    });
  },
});

const idOf = async (db: Database, version: string): Promise<string> =>
  (await db.pool.query("select id from photos where version = $1", [version])).rows[0].id;
const shown = async (db: Database): Promise<string[]> =>
  (await db.pool.query("select version from public_photos")).rows.map(({ version }) => version);

describe.for(["plain", "suspended"] as const)("in a %s bucket, what took its place", (kind) => {
  const skip = kind === "suspended" && !HAS_MOTO;

  test.skipIf(skip)(
    "is judged where its event was taken for an old one, as clocks said",
    async ({ db, bench }) => {
      const { put, told, work, now } = await bench(kind);
      const first = await put("1");
      await told({ version: first, receivedAt: new Date() });
      await judge(db, await idOf(db, first), "shown");
      const second = await put("2");
      const late = { version: second, order: "20", receivedAt: new Date(Date.now() - 120_000) };
      expect(await told(late)).toMatchObject([{ outcome: "stale" }]);
      await work(first);
      expect(await now()).toEqual({ current: [`${second} pending live`], waiting: [true] });
      expect(await shown(db)).toEqual([]);
      // told of again, or found again by a worker that died, it is nothing new
      expect(await told(late)).toMatchObject([{ outcome: "known" }]);
      await work(first);
      expect([(await now()).waiting, heads]).toEqual([[true], 1]);
      await judge(db, await idOf(db, second), "shown");
      expect(await shown(db)).toEqual([second]);
    },
  );

  test.skipIf(skip)(
    "is judged in the lane of what was gone where no event came at all",
    async ({ db, bench }) => {
      const { put, told, work, now } = await bench(kind);
      const first = await put("1");
      await told({ version: first, order: "10", known: { listing: "42" } });
      await judge(db, await idOf(db, first), "shown");
      const second = await put("2");
      await work(first, "backfill");
      expect(await now("backfill")).toEqual({ current: [`${second} pending backfill`], waiting: [true] });
      expect(await readPhotoOf(db.pool, Bucket, Key)).toMatchObject({
        listing: "42",
      });
      // the same bytes uploaded again, whose last outcome is that they were gone
      await put("1");
      await work(second);
      expect(await now()).toEqual({ current: [`${first} failed live`], waiting: [true] });
    },
  );

  test.skipIf(skip)("is nothing where it was deleted, which costs no request", async ({ bench }) => {
    const { put, remove, told, work, now } = await bench(kind);
    const first = await put("1");
    await told({ version: first, order: "10" });
    await remove();
    await work(first);
    expect([heads, await now()]).toEqual([0, { current: [`${first} failed live`], waiting: [] }]);
    const second = await put("2");
    meanwhile = remove;
    await work(first);
    expect([heads, (await now()).current]).toEqual([1, [`${first} failed live`]]);
    expect(second).not.toBe(first);
  });
});

describe("what took the place of a photo is left to what is told while the store is asked:", () => {
  const overwritten = async ({ put, told }: Bench): Promise<string> => {
    const first = await put("1");
    await told({ version: first, order: "10" });
    await put("2");
    return first;
  };

  test("its removal, which is also its erasure, or that it is forgotten", async ({ db, bench }) => {
    const all = await bench("plain");
    for (const erase of [false, true]) {
      const first = await overwritten(all);
      meanwhile = () => all.told({ kind: "removed", order: "30" }, erase);
      await all.work(first);
      expect((await all.now()).current).toEqual([]);
      await db.pool.query("delete from photos");
      await db.pool.query("delete from object_order");
    }
    const first = await overwritten(all);
    meanwhile = () => forgetObjects(db.pool, [{ store: "s3", bucket: Bucket, key: Key }], "me", false);
    await all.work(first);
    expect(
      (await db.pool.query("select key from photos union all select key from object_order")).rows,
    ).toEqual([]);
    expect((await all.now()).waiting).toEqual([]);
  });

  test("a later upload", async ({ bench }) => {
    const all = await bench("plain");
    const first = await overwritten(all);
    meanwhile = () => all.told({ version: "etag:3", order: "30" });
    await all.work(first);
    expect((await all.now()).current).toEqual(["etag:3 pending live"]);
  });

  test("nor is anybody asked where its own event has come", async ({ bench }) => {
    const all = await bench("plain");
    const first = await overwritten(all);
    await all.told({ version: "etag:2", order: "20" });
    await all.work(first);
    expect(heads).toBe(0);
  });
});
