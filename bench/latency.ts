import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import { Pool } from "undici";
import { connect } from "../src/store/pool.ts";
import { startServer } from "./child.ts";
import { prepare } from "./events.ts";
import type { Env } from "./setup.ts";
import { quantile, type Times, timesOf } from "./times.ts";

/** From the answer 202 until the verdict can be read from another connection. */
interface Latency extends Times {
  events: number;
  p99Ms: number;
  failed: number;
}

/**
 * How long photos take from being accepted to their committed verdict while events come at a steady rate, whether or not
 * those before are answered: maitred api and maitred worker as processes of their own, and the photos of `paths` from S3.
 */
export async function measureLatency(
  settings: Env,
  ratePerS: number,
  seconds: number,
  paths: readonly string[],
): Promise<Latency> {
  const s3 = await startFauxqs({ port: 0, logger: false });
  const endpoint = `http://127.0.0.1:${s3.port}`;
  const env: Env = { ...settings, MAITRED_S3_ENDPOINT: endpoint };
  const token = await prepare(env);
  const total = Math.round(ratePerS * seconds);
  const warmUp = Math.round(ratePerS * WARM_UP_S);
  await fillBucket(endpoint, paths, warmUp + total);
  const db = connect(env["DATABASE_URL"]!, () => {}, 2);
  const [api, worker] = [await startServer(env, "api"), await startServer(env, "worker")];
  const http = new Pool(api.url, { connections: 32 });
  const accepted = new Map<string, number>();
  const tell = async (n: number): Promise<void> => {
    const { statusCode, body } = await http.request({
      method: "POST",
      path: "/v1/photos",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ bucket: "photos", key: keyOf(n), listing: String(n % 100) }),
    });
    const { id } = (await body.json()) as { id: string };
    if (statusCode !== 202) throw new Error(`expected 202, got ${statusCode}`);
    if (n >= warmUp) accepted.set(id, performance.now());
  };
  const times: number[] = [];
  let [told, failed] = [0, 0];
  const look = async (): Promise<void> => {
    while (times.length < total) {
      await sleep(LOOK_MS);
      const ids = [...accepted.keys()];
      const { rows } = await db.query<{ id: string; state: string }>({
        name: "look",
        text: "select id, state from photos where id = any($1) and state <> 'pending'",
        values: [ids],
      });
      const now = performance.now();
      for (const { id, state } of rows) {
        times.push(now - accepted.get(id)!);
        accepted.delete(id);
        if (state === "failed") failed++;
      }
    }
  };
  const since = performance.now();
  const asked: Promise<void>[] = [];
  const looking = look();
  for (; told < warmUp + total; told++) {
    const due = since + (told * 1_000) / ratePerS;
    if (due > performance.now()) await sleep(due - performance.now());
    asked.push(tell(told));
  }
  await Promise.all(asked);
  await looking;
  await http.close();
  await worker.end();
  await api.end();
  await db.end();
  await s3.stop();
  return { events: total, ...timesOf(times), p99Ms: quantile(times, 0.99), failed };
}

async function fillBucket(endpoint: string, paths: readonly string[], count: number): Promise<void> {
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "bench", secretAccessKey: "bench" },
  });
  await client.send(new CreateBucketCommand({ Bucket: "photos" }));
  const photos = paths.map((path) => readFileSync(path));
  for (let n = 0; n < count; n++) {
    await client.send(
      new PutObjectCommand({ Bucket: "photos", Key: keyOf(n), Body: photos[n % photos.length]! }),
    );
  }
  client.destroy();
}

function keyOf(n: number): string {
  return `bench/${n}.jpg`;
}

const WARM_UP_S = 5;
const LOOK_MS = 10;
