import { performance } from "node:perf_hooks";
import { openIntake } from "../src/cli/intake.ts";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { listFolder } from "../src/image/folder.ts";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import { startWorker } from "../workers/moderate.ts";

interface LineRate {
  photosPerS: number;
  meanBatch: number;
}

/** Photos/s of a worker from its first photo to the last commit, with all of them queued before it starts. */
export async function measureLine(config: Config, folder: string): Promise<LineRate> {
  const total = await queueFolder(config, folder);
  const scope = new Scope();
  let [left, batches, batched, first, last] = [0, 0, 0, 0, 0];
  let wake = (): void => {};
  const done = new Promise<void>((resolve) => {
    wake = resolve;
  });
  await startWorker(config, createLog("silent"), scope, {
    stage: (stage) => {
      if (stage === "fetch") first ||= performance.now();
    },
    batch(_id, photos) {
      batches++;
      batched += photos;
    },
    finished() {
      last = performance.now();
      if (++left === total) wake();
    },
  });
  await done;
  await scope.close();
  return { photosPerS: (total / (last - first)) * 1000, meanBatch: batched / batches };
}

/** Registers and queues every photo of a folder, on a database and queue that are migrated first. @returns how many. */
export async function queueFolder(config: Config, folder: string): Promise<number> {
  await migrateAll(config);
  const scope = new Scope();
  const intake = openIntake(config, scope, () => {});
  await intake.db.query("truncate photos, tags, verdicts cascade");
  let total = 0;
  for await (const page of listFolder(folder)) {
    await intake.take(page, "live");
    total += page.length;
  }
  await scope.close();
  return total;
}
