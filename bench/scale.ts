import { spawn } from "node:child_process";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { packageRoot } from "../src/package-root.ts";
import type { PhotoJob } from "../src/photo.ts";
import { readBackfill } from "../src/store/backfills.ts";
import { connect } from "../src/store/pool.ts";
import { cpuSeconds, postgresCpuSeconds, redisCpuSeconds, residentMiB } from "./cpu.ts";
import type { Recorded, RecorderSettings } from "./recorder.ts";
import { mistakes, type Sizes, sizes } from "./scale-counts.ts";
import type { Store } from "./store.ts";
import { unhurried } from "./unhurried.ts";

export interface Scale {
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

export interface ScaleSettings {
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
export async function measureScale(config: Config, store: Store, settings: ScaleSettings): Promise<Scale> {
  const { photos, queueLimit } = settings;
  await migrateAll(config);
  const db = connect(unhurried(config.databaseUrl), () => {}, 1);
  const redis = new Redis(config.queueUrl);
  const emptyBytes = await usedBytes(redis);
  const { id } = JSON.parse(
    await finished(start(config, "backfill", "start", "s3://archive/", "--by", "bench", "--json")),
  );

  const cpuOf = async (processes: Record<string, number>): Promise<CpuS> => ({
    ...Object.fromEntries(Object.entries(processes).map(([name, pid]) => [name, cpuSeconds(pid)])),
    postgres: await postgresCpuSeconds(db),
    redis: await redisCpuSeconds(redis),
  });
  const share = Math.max(5_000, Math.floor(photos / 10));
  const alone = start({ ...config, feedLimit: share }, "feed");
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
  const recorder = startRecorder(config, settings);
  const feeder = start({ ...config, feedLimit: queueLimit }, "feed");
  const feederMiB: number[] = [];
  let redisPeak = 0;
  await until(feeder, async () => {
    if (recorder.ended()) throw new Error("the recorder ended");
    feederMiB.push(residentMiB(feeder.pid));
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

interface Child {
  pid: number;
  ended(): boolean;
  /** Asks it to end. @returns what it printed. */
  end(): Promise<string>;
}

function start(config: Config, ...args: string[]): Child & { done: Promise<string> } {
  return run(config, join(packageRoot(), "bin/maitred.js"), args);
}

function startRecorder(config: Config, { every, pictures }: ScaleSettings): Child {
  const settings: RecorderSettings = {
    pictures: Array.from({ length: pictures }, (_, n) => pictureOf(n)),
    every,
    concurrency: 512,
  };
  return run(config, join(packageRoot(), "dist/bench/recorder.js"), [JSON.stringify(settings)]);
}

function pictureOf(n: number): PhotoJob {
  const key = `uploads/${String(n).padStart(9, "0")}-dinner-for-two.jpg`;
  return { id: String(n), store: "s3", bucket: "archive", key, version: "", known: {} };
}

function run(config: Config, file: string, args: string[]): Child & { done: Promise<string> } {
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      DATABASE_URL: config.databaseUrl,
      MAITRED_QUEUE_URL: config.queueUrl,
      MAITRED_QUEUE_PREFIX: config.queuePrefix,
      MAITRED_S3_ENDPOINT: config.s3Endpoint,
      MAITRED_FEED_LIMIT: String(config.feedLimit),
      MAITRED_LOG_LEVEL: "warn",
      AWS_ACCESS_KEY_ID: "bench",
      AWS_SECRET_ACCESS_KEY: "bench",
    },
  });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  const done = new Promise<string>((resolve, reject) => {
    child.on("close", (code) => (code === 0 ? resolve(out) : reject(new Error(`${args[0]}: exit ${code}`))));
  });
  // whoever waits for it hears of it
  done.catch(() => {});
  return {
    pid: child.pid!,
    done,
    ended: () => child.exitCode !== null,
    end() {
      child.kill("SIGTERM");
      return done;
    },
  };
}

const finished = ({ done }: { done: Promise<string> }): Promise<string> => done;

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
