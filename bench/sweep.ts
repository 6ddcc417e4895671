import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { migrateAll } from "../src/cli/migrate.ts";
import { readConfig } from "../src/config.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { startMaitred } from "./child.ts";
import type { Env } from "./setup.ts";
import { startStore } from "./store.ts";
import { memoryMiB } from "./usage.ts";

interface SweepRate {
  keysPerS: number;
  seconds: number;
  /** MiB of resident memory of the sweep's process. Linux. */
  peakMiB: number;
}

interface SweepMeasures {
  keys: number;
  store: string;
  queue: "redis" | "postgres";
  /** No photo of the bucket is known: each is registered and queued. */
  unknown: SweepRate;
  /** Every photo is known. */
  known: SweepRate;
}

/** Keys/s and peak memory of `maitred sweep` over a bucket that is all unknown, and over the same when all is known. */
export async function measureSweep(settings: Env, keys: number): Promise<SweepMeasures> {
  const config = readConfig(settings);
  await migrateAll(config);
  const store = await startStore(keys);
  const env = { ...settings, MAITRED_S3_ENDPOINT: store.endpoint };
  const server = openQueueServer(config, () => {});
  const queue = new Queue(
    "backfill",
    { connection: server.connection, prefix: server.prefix },
    server.backend,
  );
  let draining = true;
  // the part of the workers: without them the sweep would wait for room in the queue
  const drained = (async () => {
    while (draining) {
      await queue.drain();
      await sleep(100);
    }
  })();
  try {
    const unknown = await run(env, keys, "missed");
    const known = await run(env, keys, "known");
    return {
      keys,
      store: "a local HTTP server that answers pages of 1,000 keys from memory: no network, no store",
      queue: server.kind,
      unknown,
      known,
    };
  } finally {
    draining = false;
    await drained;
    await queue.close();
    await server.close();
    await store.close();
  }
}

async function run(env: Env, keys: number, expected: "missed" | "known"): Promise<SweepRate> {
  const sweep = startMaitred(env, "sweep", "--json", "--rate", "10000", "listed");
  let peakMiB = 0;
  const look = setInterval(() => {
    peakMiB = Math.max(peakMiB, memoryMiB(sweep.pid, "peak") || 0);
  }, 100);
  const out = await sweep.done.finally(() => clearInterval(look));
  const result = JSON.parse(out);
  if (result[expected] !== keys) throw new Error(`expected ${keys} ${expected}, got ${out}`);
  return { keysPerS: keys / result.seconds, seconds: result.seconds, peakMiB };
}
