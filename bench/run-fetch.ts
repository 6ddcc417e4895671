/** `npm run bench:fetch`: what a photo of S3 takes of a worker's main thread, which all photos go through, written to bench/results/. */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { openIntake } from "../src/cli/intake.ts";
import { migrateAll } from "../src/cli/migrate.ts";
import { readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import { packageRoot } from "../src/package-root.ts";
import { startWorker } from "../workers/moderate.ts";
import { mainThreadSeconds } from "./cpu.ts";
import { givenSettings, layGround } from "./ground.ts";
import { makePhotos } from "./photos.ts";

const PHOTOS = 600;
/** Before the first is counted: what runs often is compiled by then. */
const WARM = 100;
// of the server here, whose certificate nobody signed
process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
process.env["AWS_ACCESS_KEY_ID"] = process.env["AWS_SECRET_ACCESS_KEY"] = "bench";
const scope = new Scope();
const { work, paths, postgresUrl, redisUrl } = await layGround(scope, 1);
const [large] = await makePhotos(work, 1, 6_000);
const machine = { cpu: cpus()[0]!.model, cores: availableParallelism(), node: process.versions.node };
const loadBefore = loadavg()[0]!;
const results: object[] = [];
for (const path of [paths[0]!, large!]) results.push(await measure(readFileSync(path)));
const date = new Date().toISOString();
const out = join(packageRoot(), "bench/results", `fetch-${date.slice(0, 10)}.json`);
const result = { date, command: "npm run bench:fetch", machine: { ...machine, loadBefore }, results };
writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
process.stderr.write(`${JSON.stringify(results)}\nwritten to ${out}\n`);
await scope.close();
process.exit(0);

async function measure(photo: Uint8Array): Promise<object> {
  const server = new Worker(new URL("./s3-thread.js", import.meta.url), { workerData: photo });
  const [port] = (await once(server, "message")) as [number];
  const config = readConfig({
    ...givenSettings(),
    DATABASE_URL: postgresUrl,
    MAITRED_QUEUE_URL: redisUrl || postgresUrl,
    MAITRED_S3_ENDPOINT: `https://127.0.0.1:${port}`,
    MAITRED_DUPLICATES: "each",
    MAITRED_PORT: "0",
  });
  await migrateAll(config);
  const running = new Scope();
  const intake = openIntake(config, running, () => {});
  const photos = Array.from({ length: PHOTOS }, (_, n) => ({
    store: "s3" as const,
    bucket: "bench",
    key: `${photo.length}/${n}.jpg`,
    version: "",
  }));
  await intake.take(photos, "live");
  const spent: number[] = [];
  await new Promise<void>((done, fail) => {
    const left = (): void => {
      if (spent.push(mainThreadSeconds()) === PHOTOS) done();
    };
    startWorker(config, createLog("warn"), running, { left }).catch(fail);
  });
  await running.close();
  await server.terminate();
  const mainThreadMs = ((spent.at(-1)! - spent[WARM - 1]!) / (PHOTOS - WARM)) * 1_000;
  return { bytes: photo.length, mainThreadMs: Number(mainThreadMs.toFixed(2)) };
}
