import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { packageRoot } from "../src/package-root.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { type Store, startStore } from "./store.ts";

export interface SweepRate {
  keysPerS: number;
  seconds: number;
  /** MiB of resident memory of the sweep's process. Linux. */
  peakMiB: number;
}

export interface SweepMeasures {
  keys: number;
  store: string;
  queue: "redis" | "postgres";
  /** No photo of the bucket is known: each is registered and queued. */
  unknown: SweepRate;
  /** Every photo is known. */
  known: SweepRate;
}

/** Keys/s and peak memory of `maitred sweep` over a bucket that is all unknown, and over the same when all is known. */
export async function measureSweep(config: Config, keys: number): Promise<SweepMeasures> {
  await migrateAll(config);
  const store = await startStore(keys);
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
    const unknown = await run(config, store, keys, "missed");
    const known = await run(config, store, keys, "known");
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
    store.close();
  }
}

async function run(
  config: Config,
  store: Store,
  keys: number,
  expected: "missed" | "known",
): Promise<SweepRate> {
  const args = ["sweep", "--json", "--rate", "10000", "listed"];
  const child = spawn(process.execPath, [join(packageRoot(), "bin/maitred.js"), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      DATABASE_URL: config.databaseUrl,
      MAITRED_QUEUE_URL: config.queueUrl,
      MAITRED_QUEUE_PREFIX: config.queuePrefix,
      MAITRED_S3_ENDPOINT: store.endpoint,
      AWS_ACCESS_KEY_ID: "bench",
      AWS_SECRET_ACCESS_KEY: "bench",
    },
  });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  let peakMiB = 0;
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      peakMiB = Math.max(peakMiB, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // it has ended, or this is not Linux
    }
  }, 100);
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearInterval(look);
  const result = code === 0 ? JSON.parse(out) : {};
  if (result[expected] !== keys) throw new Error(`expected ${keys} ${expected}, got ${code}: ${out}`);
  return {
    keysPerS: Math.round(keys / result.seconds),
    seconds: Number(result.seconds.toFixed(1)),
    peakMiB: Math.round(peakMiB),
  };
}
