/** `npm run bench:fetch`: what a photo of S3 takes of a worker's main thread, which all photos go through. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { openIntake } from "../src/cli/intake.ts";
import { migrateAll } from "../src/cli/migrate.ts";
import { type Config, readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import { startWorker } from "../workers/moderate.ts";
import { runBench } from "./bench.ts";
import { makePhotos } from "./photos.ts";
import { setUpBench } from "./setup.ts";
import { mainThreadSeconds } from "./usage.ts";

/** Photos before the first that is counted: what runs often is compiled by then. */
const WARM_UP = 100;
const about = `Measures the CPU that the main thread of a worker uses for a photo of 1600 x 1200, and for one of 6000 x 4500, from a local
S3 over TLS. The queue is on Redis, if redis-server is on the PATH, and else on Postgres.`;
const options = { photos: [600, "of each size, more than 100, as the first 100 are not counted"] } as const;

await runBench("bench:fetch", about, options, async ({ values: { photos }, scope, say, keep }) => {
  // of the server here, whose certificate nobody signed
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  process.env["AWS_ACCESS_KEY_ID"] = process.env["AWS_SECRET_ACCESS_KEY"] = "bench";
  const { work, paths, env } = await setUpBench(scope, 1);
  const [large] = await makePhotos(work, 1, 6_000);
  const results: object[] = [];
  for (const path of [paths[0]!, large!]) {
    const photo = readFileSync(path);
    const server = new Worker(new URL("./s3-thread.js", import.meta.url), { workerData: photo });
    const [port] = (await once(server, "message")) as [number];
    const config = readConfig(env({ MAITRED_S3_ENDPOINT: `https://127.0.0.1:${port}` }));
    results.push({ bytes: photo.length, mainThreadMs: await measure(config, photos, `${photo.length}/`) });
    say(JSON.stringify(results.at(-1)));
    await server.terminate();
  }
  keep({ results });
});

/** @returns milliseconds a photo. */
async function measure(config: Config, count: number, prefix: string): Promise<number> {
  await migrateAll(config);
  const running = new Scope();
  const intake = openIntake(config, running, () => {});
  const photos = Array.from({ length: count }, (_, n) => {
    return { store: "s3" as const, bucket: "bench", key: `${prefix}${n}.jpg`, version: "" };
  });
  await intake.take(photos, "live");
  const spent: number[] = [];
  await new Promise<void>((done, fail) => {
    const left = (): void => {
      if (spent.push(mainThreadSeconds()) === count) done();
    };
    startWorker(config, createLog("warn"), running, { finished: left }).catch(fail);
  });
  await running.close();
  return ((spent.at(-1)! - spent[WARM_UP - 1]!) / (count - WARM_UP)) * 1_000;
}
