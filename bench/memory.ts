import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../src/config.ts";
import { packageRoot } from "../src/package-root.ts";
import { connect } from "../src/store/pool.ts";
import { queueFolder } from "./line.ts";

export interface Memory {
  photos: number;
  photosPerS: number;
  /** MiB of resident memory when 2,000 photos were through. */
  after2000MiB: number;
  finalMiB: number;
  peakMiB: number;
  /** (final - after2000) / after2000. */
  growth: number;
}

/** Resident memory of a worker's process over all photos of a folder. Linux. */
export async function measureMemory(config: Config, folder: string, photos: number): Promise<Memory> {
  await queueFolder(config, folder);
  const db = connect(config.databaseUrl, () => {}, 1);
  const env = {
    ...process.env,
    DATABASE_URL: config.databaseUrl,
    MAITRED_QUEUE_URL: config.queueUrl,
    MAITRED_QUEUE_PREFIX: config.queuePrefix,
    MAITRED_FOLDERS: folder,
    MAITRED_DUPLICATES: config.duplicates,
    MAITRED_LOG_LEVEL: "error",
    MAITRED_PORT: "0",
  };
  const worker = spawn(process.execPath, [join(packageRoot(), "bin/maitred.js"), "worker"], {
    stdio: "inherit",
    env,
  });
  const status = (field: string): number => {
    const text = readFileSync(`/proc/${worker.pid}/status`, "utf8");
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1]) / 1024;
  };
  let [after2000MiB, finalMiB, since, from] = [0, 0, 0, 0];
  for (;;) {
    await sleep(250);
    const { rows } = await db.query<{ n: number }>(
      "select count(*)::int as n from photos where state <> 'pending'",
    );
    const done = rows[0]!.n;
    if (done > 0 && since === 0) [since, from] = [Date.now(), done];
    if (done >= 2_000 && after2000MiB === 0) after2000MiB = status("VmRSS");
    // the last look is at a worker that still works, not at one that has begun to rest
    if (done < photos) finalMiB = status("VmRSS");
    process.stderr.write(`\r${done}/${photos} photos, ${finalMiB.toFixed(0)} MiB\x1b[K`);
    if (done === photos) break;
  }
  process.stderr.write("\n");
  const peakMiB = status("VmHWM");
  const photosPerS = ((photos - from) / (Date.now() - since)) * 1000;
  const exit = new Promise((resolve) => worker.on("exit", resolve));
  worker.kill("SIGTERM");
  await exit;
  await db.end();
  return { photos, photosPerS, after2000MiB, finalMiB, peakMiB, growth: finalMiB / after2000MiB - 1 };
}
