import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import { migrateAll } from "../src/cli/migrate.ts";
import { readConfig } from "../src/config.ts";
import type { PhotoJob } from "../src/photo.ts";
import { readBackfill } from "../src/store/backfills.ts";
import { type Child, startBeside, startMaitred } from "./child.ts";
import type { Recorded, RecorderSettings } from "./recorder.ts";
import { mistakes, type Sizes, sizes } from "./scale-counts.ts";
import type { Env } from "./setup.ts";
import { keyOf, type Store } from "./store.ts";
import { cpuSeconds, memoryMiB, postgresCpuSeconds, redisCpuSeconds } from "./usage.ts";

interface Scale {
  photos: number;
  /** The feeder fills the queue, and nobody takes photos out of it. */
  feeding: { photos: number; photosPerS: number; cpuS: CpuS; redisBytesAPhoto: number };
  /** The rest is fed into a queue that is kept small while photos are recorded. */
  together: {
    photos: number;
    photosPerS: number;
    queueLimit: number;
    cpuS: CpuS;
    redisPeakMiB: number;
    /** Resident memory of the feeder, in twenty stretches of equal time, oldest first. */
    feederMiB: number[];
  };
  recorded: Recorded;
  /** GET requests that the store answered. */
  storeReads: number;
  postgres: Sizes;
  /** What was found to be wrong; empty: every photo was fed once, judged once, and is counted once. */
  wrong: string[];
}

/** Seconds of CPU by who used them, which other work on the machine changes less than the rate. */
type CpuS = Record<string, number>;

interface ScaleSettings {
  photos: number;
  /** One photo in so many is fetched, decoded and judged. */
  every: number;
  /** Pictures that the store repeats. */
  pictures: number;
  /** Photos that the feeder keeps in the queue. */
  queueLimit: number;
}

/**
 * One backfill over a bucket of which nothing is known: listed, registered, fed through the queue, recorded. First a tenth
 * is fed without anybody taking it; then the feeder starts anew, and what it feeds is recorded beside it.
 */
export async function measureScale(env: Env, store: Store, settings: ScaleSettings): Promise<Scale> {
  const { photos, queueLimit } = settings;
  const config = readConfig(env);
  await migrateAll(config);
  // without the limits of the line, whose statements never count millions of rows
  const db = new pg.Pool({ connectionString: config.databaseUrl, max: 1 });
  const redis = new Redis(config.queueUrl);
  const emptyBytes = await usedBytes(redis);
  const planned = startMaitred(env, "backfill", "start", "s3://archive/", "--by", "bench", "--json");
  const { id } = JSON.parse(await planned.done) as { id: string };

  const cpuOf = async (processes: Record<string, number>): Promise<CpuS> => ({
    ...Object.fromEntries(Object.entries(processes).map(([name, pid]) => [name, cpuSeconds(pid)])),
    postgres: await postgresCpuSeconds(db),
    redis: await redisCpuSeconds(redis),
  });
  const share = Math.max(5_000, Math.floor(photos / 10));
  const alone = startMaitred({ ...env, MAITRED_FEED_LIMIT: String(share) }, "feed");
  // from its first page, as a feeder that runs for days is not measured by its start
  let first: Moment | undefined;
  const last = await until(alone, async () => {
    const { seen } = (await readBackfill(db, id))!;
    if (seen === 0 || (first && seen < share)) return undefined;
    const now = { atS: performance.now() / 1_000, seen, cpuS: await cpuOf({ feeder: alone.pid }) };
    first ??= now;
    return seen >= share ? now : undefined;
  });
  // the last page is in the queue once it has ended
  await alone.end();
  const fed = last.seen - first!.seen;
  const feeding = {
    photos: fed,
    photosPerS: fed / (last.atS - first!.atS),
    cpuS: less(last.cpuS, first!.cpuS),
    redisBytesAPhoto: ((await usedBytes(redis)) - emptyBytes) / last.seen,
  };

  const since = performance.now();
  const before = await cpuOf({});
  const recorder = startBeside(env, "recorder", settingsOf(settings));
  const feeder = startMaitred({ ...env, MAITRED_FEED_LIMIT: String(queueLimit) }, "feed");
  const feederMiB: number[] = [];
  let redisPeak = 0;
  await until(feeder, async () => {
    if (recorder.ended()) throw new Error("the recorder ended");
    feederMiB.push(memoryMiB(feeder.pid));
    redisPeak = Math.max(redisPeak, await usedBytes(redis));
    return (await readBackfill(db, id))!.state === "done" ? true : undefined;
  });
  const togetherS = (performance.now() - since) / 1_000;
  const cpuS = less(await cpuOf({ feeder: feeder.pid, recorder: recorder.pid }), before);
  await feeder.end();
  const recorded = JSON.parse(await recorder.end()) as Recorded;
  const result: Scale = {
    photos,
    feeding,
    together: {
      photos,
      photosPerS: photos / togetherS,
      queueLimit,
      cpuS,
      redisPeakMiB: redisPeak / 2 ** 20,
      feederMiB: thinned(feederMiB, 20),
    },
    recorded,
    storeReads: store.reads(),
    postgres: await sizes(db, photos),
    wrong: await mistakes(db, redis, config, id, photos, recorded),
  };
  redis.disconnect();
  await db.end();
  return result;
}

interface Moment {
  atS: number;
  seen: number;
  cpuS: CpuS;
}

function settingsOf({ every, pictures }: ScaleSettings): RecorderSettings {
  return { pictures: Array.from({ length: pictures }, (_, n) => pictureOf(n)), every, concurrency: 512 };
}

function pictureOf(n: number): PhotoJob {
  return { id: String(n), store: "s3", bucket: "archive", key: keyOf(n), version: "", known: {} };
}

/** Looks again and again while a process runs. */
async function until<T>(child: Child, look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    if (child.ended()) throw new Error("the feeder ended");
    const found = await look();
    if (found !== undefined) return found;
    await sleep(LOOK_MS);
  }
}

async function usedBytes(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]);
}

function less(after: CpuS, before: CpuS): CpuS {
  return Object.fromEntries(
    Object.entries(after).map(([name, seconds]) => [name, seconds - (before[name] ?? 0)]),
  );
}

function thinned(values: readonly number[], count: number): number[] {
  const step = Math.max(1, values.length / count);
  return Array.from(
    { length: Math.min(count, values.length) },
    (_, n) => values[Math.min(values.length - 1, Math.floor((n + 1) * step) - 1)]!,
  );
}

const LOOK_MS = 250;
