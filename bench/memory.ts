import { setTimeout as sleep } from "node:timers/promises";
import { readConfig } from "../src/config.ts";
import { connect } from "../src/store/pool.ts";
import { startMaitred } from "./child.ts";
import { queueFolder } from "./line.ts";
import type { Env } from "./setup.ts";
import { memoryMiB } from "./usage.ts";

interface Memory {
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
export async function measureMemory(env: Env, folder: string, photos: number): Promise<Memory> {
  const config = readConfig(env);
  await queueFolder(config, folder);
  const db = connect(config.databaseUrl, () => {}, 1);
  const worker = startMaitred(env, "worker");
  let [after2000MiB, finalMiB, since, from] = [0, 0, 0, 0];
  for (;;) {
    await sleep(250);
    const { rows } = await db.query<{ n: number }>(
      "select count(*)::int as n from photos where state <> 'pending'",
    );
    const done = rows[0]!.n;
    if (done > 0 && since === 0) [since, from] = [Date.now(), done];
    if (done >= 2_000 && after2000MiB === 0) after2000MiB = memoryMiB(worker.pid);
    // the last look is at a worker that still works, not at one that has begun to rest
    if (done < photos) finalMiB = memoryMiB(worker.pid);
    process.stderr.write(`\r${done}/${photos} photos, ${finalMiB.toFixed(0)} MiB\x1b[K`);
    if (done === photos) break;
  }
  process.stderr.write("\n");
  const peakMiB = memoryMiB(worker.pid, "peak");
  const photosPerS = ((photos - from) / (Date.now() - since)) * 1000;
  await worker.end();
  await db.end();
  return { photos, photosPerS, after2000MiB, finalMiB, peakMiB, growth: finalMiB / after2000MiB - 1 };
}
