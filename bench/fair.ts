import { linkSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { type Intake, openIntake } from "../src/cli/intake.ts";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import type { PhotoJob } from "../src/photo.ts";
import { registerPhotos } from "../src/store/photos.ts";
import { startWorker } from "../workers/moderate.ts";
import { quantile, type Times, timesOf } from "./times.ts";

/** How uploads fared in one stretch of time, from before a photo is put into the queue until its verdict is committed. */
export interface Stretch extends Times {
  /**
   * Milliseconds of CPU that the worker's process used meanwhile, for whatever: with nobody else on the machine it would
   * have been over in this time divided by the cores, which other work on the machine hardly changes.
   */
  p50CpuMs: number;
  p95CpuMs: number;
  /** Photos of the backfill that were judged meanwhile. */
  backfillPerS: number;
  /** Mean milliseconds of an upload in each stage; batch is waiting and inference together. */
  stagesMs: Record<string, number>;
}

interface Fairness {
  ratePerS: number;
  uploads: number;
  /** One for each round, as they came: an idle stretch, then one beside a backfill. */
  rounds: { idle: Stretch; beside: Stretch }[];
}

interface Settings {
  /** Where the photos are made, as hard links to `originals`. */
  folder: string;
  originals: readonly string[];
  ratePerS: number;
  seconds: number;
  rounds: number;
}

/**
 * Uploads at a steady rate through one worker, whether or not those before are judged: first nothing else is there, then
 * a backfill that never runs dry. The stretches take turns, so that both meet the same hours of a machine.
 */
export async function measureFairness(config: Config, settings: Settings): Promise<Fairness> {
  const { ratePerS, seconds, rounds } = settings;
  await migrateAll(config);
  const scope = new Scope();
  const intake = openIntake(config, scope, () => {});
  const committed = new Map<string, () => void>();
  const stages = new Map<string, { seconds: number; photos: number }>();
  let backfilled = 0;
  await startWorker(config, createLog("silent"), scope, {
    stage(stage, lane, seconds) {
      const sum = stages.get(stage) ?? { seconds: 0, photos: 0 };
      if (lane === "live") stages.set(stage, { seconds: sum.seconds + seconds, photos: sum.photos + 1 });
    },
    finished(photo, lane) {
      if (lane === "backfill") backfilled++;
      else committed.get(photo.id)?.();
    },
  });
  const uploads = Math.round(ratePerS * seconds);
  const photos = await register(intake, settings, "live", (uploads + WARM_UP) * 2 * rounds);

  async function upload(photo: PhotoJob): Promise<{ ms: number; cpuMs: number }> {
    const [since, used] = [performance.now(), process.cpuUsage()];
    const done = new Promise<void>((resolve) => void committed.set(photo.id, resolve));
    await intake.queues.add("live", [photo]);
    await done;
    committed.delete(photo.id);
    const { user, system } = process.cpuUsage(used);
    return { ms: performance.now() - since, cpuMs: (user + system) / 1_000 };
  }
  async function stretch(): Promise<Stretch> {
    stages.clear();
    const begun = performance.now();
    const [before, times] = [backfilled, [] as ReturnType<typeof upload>[]];
    for (const [index, photo] of photos.splice(0, uploads + WARM_UP).entries()) {
      await sleep(begun + (index * 1_000) / ratePerS - performance.now());
      times.push(upload(photo));
    }
    const all = (await Promise.all(times)).slice(WARM_UP);
    const cpuMs = all.map((each) => each.cpuMs);
    const backfillPerS = ((backfilled - before) / (performance.now() - begun)) * 1_000;
    const stagesMs = Object.fromEntries(
      [...stages].map(([stage, { seconds, photos }]) => [stage, (seconds / photos) * 1_000]),
    );
    return {
      ...timesOf(all.map((each) => each.ms)),
      p50CpuMs: quantile(cpuMs, 0.5),
      p95CpuMs: quantile(cpuMs, 0.95),
      backfillPerS,
      stagesMs,
    };
  }

  const result: Fairness = { ratePerS, uploads, rounds: [] };
  for (let round = 0; round < rounds; round++) {
    const idle = await stretch();
    const backlog = keepBacklog(intake, settings);
    await backlog.deep;
    const beside = await stretch();
    await backlog.end();
    result.rounds.push({ idle, beside });
  }
  await scope.close();
  return result;
}

/** Keeps photos waiting in the backfill lane, as the feeder does, until it is told to end; then waits for the last. */
function keepBacklog(intake: Intake, settings: Settings): { deep: Promise<void>; end(): Promise<void> } {
  let ending = false;
  let deep = (): void => {};
  const isDeep = new Promise<void>((resolve) => {
    deep = resolve;
  });
  const waiting = async (): Promise<number> => {
    const depth = await intake.queues.depth("backfill");
    return ending ? depth.waiting + depth.active : depth.waiting;
  };
  const kept = (async () => {
    while (!ending) {
      if ((await waiting()) >= BACKLOG) deep();
      else await intake.queues.add("backfill", await register(intake, settings, "backfill", PAGE));
      await sleep(50);
    }
    while ((await waiting()) > 0) await sleep(200);
  })();
  return {
    deep: isDeep,
    async end() {
      ending = true;
      await kept;
    },
  };
}

let made = 0;
async function register(
  { db }: Intake,
  { folder, originals }: Settings,
  lane: "live" | "backfill",
  count: number,
): Promise<PhotoJob[]> {
  const photos = Array.from({ length: count }, () => {
    const key = `${made}.jpg`;
    linkSync(originals[made++ % originals.length]!, join(folder, key));
    return { store: "folder" as const, bucket: folder, key, version: "", known: {} };
  });
  return registerPhotos(db, photos, lane);
}

/** Uploads at the head of each stretch that are not counted. */
const WARM_UP = 5;
/** Photos; twenty batches, which is what the feeder keeps in the queue for a worker. */
const BACKLOG = 160;
/** Photos added at once: it happens in the worker's own process, which it must not hold up. */
const PAGE = 16;
