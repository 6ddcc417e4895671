import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { packageRoot } from "../src/package-root.ts";
import type { PhotoJob } from "../src/photo.ts";
import { readBackfill } from "../src/store/backfills.ts";
import { connect, type Pool } from "../src/store/pool.ts";
import type { Recorded, RecorderSettings } from "./recorder.ts";
import type { Store } from "./store.ts";

export interface Scale {
  photos: number;
  /** The feeder fills the queue, and nobody takes photos out of it. */
  feeding: { photos: number; photosPerS: number; feederCpuS: number; redisBytesAPhoto: number };
  /** The rest is fed into a queue that is kept small while photos are recorded. */
  together: {
    photos: number;
    photosPerS: number;
    queueLimit: number;
    feederCpuS: number;
    recorderCpuS: number;
    redisPeakMiB: number;
    /** Resident memory of the feeder, in twenty stretches of equal time, oldest first. */
    feederMiB: number[];
  };
  recorded: Recorded;
  /** GET requests that the store answered. */
  storeReads: number;
  postgres: { bytesAPhoto: number; tables: Record<string, { rows: number; bytesAPhoto: number }> };
  /** What was found to be wrong; empty: every photo was fed once, judged once, and is counted once. */
  wrong: string[];
}

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
  const db = connect(config.databaseUrl, () => {}, 1);
  const redis = new Redis(config.queueUrl);
  const emptyBytes = await usedBytes(redis);
  const { id } = JSON.parse(
    await finished(start(config, "backfill", "start", "s3://archive/", "--by", "bench", "--json")),
  );

  const share = Math.floor(photos / 10);
  const alone = start({ ...config, feedLimit: share }, "feed");
  // from its first page, as a feeder that runs for days is not measured by its start
  let first: { at: number; seen: number } | undefined;
  const last = await until(alone, async () => {
    const { seen } = (await readBackfill(db, id))!;
    const now = { at: performance.now(), seen };
    if (seen > 0) first ??= now;
    return seen >= share ? now : undefined;
  });
  const fed = last.seen;
  const feeding = {
    photos: fed,
    photosPerS: (fed - first!.seen) / ((last.at - first!.at) / 1_000),
    feederCpuS: cpuSeconds(alone.pid),
    redisBytesAPhoto: ((await usedBytes(redis)) - emptyBytes) / fed,
  };
  await alone.end();

  const since = performance.now();
  const recorder = startRecorder(config, settings);
  const feeder = start({ ...config, feedLimit: queueLimit }, "feed");
  const feederMiB: number[] = [];
  let redisPeak = 0;
  await until(feeder, async () => {
    if (recorder.ended()) throw new Error("the recorder ended");
    feederMiB.push(status(feeder.pid, "VmRSS") / 1_024);
    redisPeak = Math.max(redisPeak, await usedBytes(redis));
    return (await readBackfill(db, id))!.state === "done" ? true : undefined;
  });
  const togetherS = (performance.now() - since) / 1_000;
  const cpu = { feederCpuS: cpuSeconds(feeder.pid), recorderCpuS: cpuSeconds(recorder.pid) };
  await feeder.end();
  const recorded = JSON.parse(await recorder.end()) as Recorded;
  const result: Scale = {
    photos,
    feeding,
    together: {
      photos,
      photosPerS: photos / togetherS,
      queueLimit,
      ...cpu,
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

/** A field of /proc, in kB. Linux. */
function status(pid: number, field: string): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** Of all its threads, so far. Linux, where a tick is 10 ms. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function usedBytes(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]);
}

function thinned(values: readonly number[], count: number): number[] {
  const step = Math.max(1, values.length / count);
  return Array.from(
    { length: Math.min(count, values.length) },
    (_, n) => values[Math.min(values.length - 1, Math.floor((n + 1) * step) - 1)]!,
  );
}

async function sizes(db: Pool, photos: number): Promise<Scale["postgres"]> {
  // over millions of rows these take longer than what the line may wait for
  await db.query("set statement_timeout = 0");
  await db.query("vacuum analyze");
  const { rows } = await db.query<{ name: string; rows: number; bytes: number }>(
    `select relname as name, greatest(reltuples, 0)::float8 as rows, pg_total_relation_size(oid)::float8 as bytes
      from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
      and pg_total_relation_size(oid) > 200000 order by bytes desc`,
  );
  return {
    bytesAPhoto: rows.reduce((sum, { bytes }) => sum + bytes, 0) / photos,
    tables: Object.fromEntries(
      rows.map(({ name, rows, bytes }) => [name, { rows, bytesAPhoto: bytes / photos }]),
    ),
  };
}

/** Compares every count that there is with the number of photos. */
async function mistakes(
  db: Pool,
  redis: Redis,
  { queuePrefix }: Config,
  id: string,
  photos: number,
  recorded: Recorded,
): Promise<string[]> {
  await db.query("set statement_timeout = 0");
  const { rows } = await db.query<Record<string, number>>(
    `select (select count(*) from photos)::float8 as "photos",
      (select count(distinct key) from photos)::float8 as "keys",
      (select count(*) from photos where state in ('shown', 'hidden', 'review'))::float8 as "photos with a verdict",
      (select count(*) from verdicts)::float8 as "verdicts",
      (select count(distinct photo_id) from verdicts)::float8 as "photos in the history",
      (select sum(photos) from backfill_counts where backfill_id = $1)::float8 as "counted by the backfill",
      (select seen from backfills where id = $1)::float8 as "seen",
      (select fed from backfills where id = $1)::float8 as "fed",
      (select count(*) from backfill_photos)::float8 as "waiting"`,
    [id],
  );
  const counted: Record<string, number> = {
    ...rows[0]!,
    "changed by the recorder": recorded.changed,
    "left the line": recorded.left,
    failed: recorded.failed,
    "jobs in the queue": (await redis.keys(`${queuePrefix}:backfill:photo-*`)).length,
  };
  const none = new Set(["waiting", "failed", "jobs in the queue"]);
  return Object.entries(counted)
    .filter(([name, count]) => count !== (none.has(name) ? 0 : photos))
    .map(([name, count]) => `${name}: expected ${none.has(name) ? 0 : photos}, got ${count}`);
}

const LOOK_MS = 250;
